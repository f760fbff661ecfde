"""Limits of what columns may hold; importing this costs nothing."""

MOST_LEVELS = 50
"""Of one covariate, and columns of a product."""
