"""hanjax scores groups and their members together, over time."""
