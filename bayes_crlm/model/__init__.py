"""What is compared, with which columns and priors, and the `pm.Model` that defines it."""
