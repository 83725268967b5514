"""From a user's tables to the panel of samples: pure functions on NumPy, pandas and pyarrow."""
