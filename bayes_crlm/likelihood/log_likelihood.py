"""Names of the likelihood under their earlier address."""

from bayes_crlm.likelihood.hazard_table import blocks_of_draws
from bayes_crlm.likelihood.survival_data import SurvivalData, equal_rows

__all__ = ["SurvivalData", "blocks_of_draws", "equal_rows"]
