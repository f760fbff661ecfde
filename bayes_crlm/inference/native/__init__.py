"""Compiled densities and the samplers that call them."""
