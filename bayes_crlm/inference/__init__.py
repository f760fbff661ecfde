"""How draws are made: modes, importance sampling, NUTS."""
