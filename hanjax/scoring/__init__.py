"""Joint scores of accounts and their individuals."""
