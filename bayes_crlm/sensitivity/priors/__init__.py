"""Priors, and how far they decide."""
