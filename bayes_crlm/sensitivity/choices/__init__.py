"""The analyst's choices: covariates, intervals, proportional hazards."""
