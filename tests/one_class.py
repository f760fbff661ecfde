"""The likelihood of models with one class and no groups, by log-hazards and effects."""

import numpy as np
from slopes import log_likelihood_slope

from bayes_crlm.likelihood import hazard_table
from bayes_crlm.likelihood.hazard_table import LogHazards


def of_one_class(log_hazard, effect):
    """Hazards by log-hazards (..., intervals) of the only class, and effects (..., terms)."""
    return LogHazards(log_hazard[..., None, :], effect)


def log_likelihood(log_hazard, effect, data):
    return float(hazard_table.log_likelihood(of_one_class(log_hazard, effect), data))


def log_likelihood_gradient(log_hazard, effect, data):
    at = of_one_class(log_hazard, effect)
    slope = log_likelihood_slope(at, data)
    return slope.cells[0], slope.effect


def log_likelihood_hessian(log_hazard, effect, data):
    at = of_one_class(log_hazard, effect)
    information = hazard_table.log_likelihood_information(at, data)
    return -information.cells[0], -information.cells_columns[0], -information.columns


def patient_log_likelihood(log_hazard, effect, data):
    at = of_one_class(log_hazard, effect)
    return np.asarray(hazard_table.patient_log_likelihood(at, data))
