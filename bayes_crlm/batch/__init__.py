"""Many cohorts at once: stacked, prepared, fitted and summarised as arrays."""
