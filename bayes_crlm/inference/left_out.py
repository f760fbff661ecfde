"""Pareto-smoothed leave-one-out: what draws predict of each patient without that patient.

References
----------
Vehtari, Gelman & Gabry (2017), Stat Comput 27:1413-1432; Magnusson, Andersen, Jonasson & Vehtari
(2019), ICML, PMLR 97:4244-4253 (draws of an approximation).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.chains import ess_mean
from bayes_crlm.inference.psis import pareto_smooth

if TYPE_CHECKING:
    import xarray as xr

Floats = NDArray[np.float64]

# numbers in one table of patients x draws, which then stays in a processor's cache
BLOCK = 2**13


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Of every patient left out.

    Attributes
    ----------
    elpd : (patients,) ndarray
        Log predictive density without the patient.
    pareto_k : (patients,) ndarray
        Shape of the tail of its importance weights.
    lpd : (patients,) ndarray
        Log predictive density with the patient.
    """

    elpd: Floats
    pareto_k: Floats
    lpd: Floats

    @property
    def largest_pareto_k(self) -> float:
        """The largest shape of those that could be estimated."""
        return float(np.nanmax(self.pareto_k))


def left_out(
    log_likelihood: NDArray, relative_ess: float = 1.0, log_ratio: NDArray | float = 0.0
) -> LeftOut:
    """Leave every patient out of draws, by smoothed importance weights.

    Parameters
    ----------
    log_likelihood : (draws, patients) ndarray
    relative_ess : float
        Effective sample size of the draws, as a share of their number.
    log_ratio : (draws,) ndarray or float
        Log of posterior over proposal density, of draws from a proposal. Each patient's ratio is
        then that of the posterior without the patient to the proposal, smoothed once.

    Returns
    -------
    LeftOut
    """
    n_draws, n_patients = log_likelihood.shape
    elpd, pareto_k, lpd = (np.empty(n_patients) for _ in range(3))
    step = max(1, BLOCK // n_draws)
    for start in range(0, n_patients, step):
        some = slice(start, start + step)
        each = log_likelihood[:, some].T
        log_weight, pareto_k[some] = pareto_smooth(log_ratio - each, relative_ess)
        elpd[some] = log_sum_exp(log_weight + each)
        lpd[some] = log_sum_exp(each) - np.log(n_draws)
    return LeftOut(elpd, pareto_k, lpd)


def relative_ess(posterior: "xr.Dataset") -> float:
    """Mean effective sample size of variables of chains, as a share of the draws."""
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    if chains == 1:
        return 1.0
    values = [each.values.reshape(chains, draws, -1) for each in posterior.data_vars.values()]
    return float(ess_mean(np.concatenate(values, axis=2)).mean()) / (chains * draws)


def log_sum_exp(values: NDArray) -> Floats:
    """Log of the sum of exponentials over the last index."""
    largest = values.max(axis=-1, keepdims=True)
    return largest[..., 0] + np.log(np.exp(values - largest).sum(axis=-1))
