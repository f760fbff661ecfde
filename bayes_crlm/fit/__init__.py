"""A fitted model and what is found in it."""
