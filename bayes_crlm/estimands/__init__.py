"""Survival, restricted means and medians of draws."""
