"""Errors, numbers and probabilities in sentences."""
