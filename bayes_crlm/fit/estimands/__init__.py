"""What is reported beside hazard ratios: one file an estimand."""
