"""Intervals, follow-up cut by them, and the sums that the likelihood needs."""
