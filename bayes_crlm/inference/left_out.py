"""Pareto-smoothed leave-one-out: what draws predict of each patient without that patient.

References
----------
Vehtari, Gelman & Gabry (2017), Stat Comput 27:1413-1432; Magnusson, Andersen, Jonasson & Vehtari
(2019), ICML, PMLR 97:4244-4253 (draws of an approximation); Vehtari, Simpson, Gelman, Yao & Gabry
(2024), JMLR 25(72).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.chains import ess_mean, ess_tail
from bayes_crlm.inference.native.draws import PatientsLeftOut
from bayes_crlm.inference.native.library import BEST
from bayes_crlm.inference.psis import pareto_smooth, tail_length
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]

# numbers in one table of patients x draws, which then stays in a processor's cache
BLOCK = 2**13
# quantiles whose effective sample size decides how long a tail is fitted
OUTER = (0.05, 0.95)


@record(eq=False)
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
    log_likelihood: NDArray,
    relative_ess: float = 1.0,
    log_ratio: NDArray | float = 0.0,
    level: int = BEST,
) -> LeftOut:
    """Leave every patient out of draws, by smoothed importance weights.

    Parameters
    ----------
    log_likelihood : (draws, patients) ndarray
        Of each patient under each draw.
    relative_ess : float
        Effective sample size of the draws, as a share of their number.
    log_ratio : (draws,) ndarray or float
        Log of posterior over proposal density, of draws from a proposal. Each patient's ratio is
        then that of the posterior without the patient to the proposal, smoothed once; densities
        with the patient have the smoothed ratios as weights.
    level : int
        Instruction set, as for `bayes_crlm.inference.native.library.kernels`.

    Returns
    -------
    LeftOut
    """
    n_draws, n_patients = log_likelihood.shape
    found, task = LeftOut(*(np.empty(n_patients) for _ in range(3))), PatientsLeftOut()
    task.fill(
        n_draws=n_draws,
        n_patients=n_patients,
        tail=tail_length(n_draws, relative_ess),
        log_likelihood=log_likelihood,
        log_ratio=np.broadcast_to(log_ratio, n_draws),
        **vars(found),
    )
    task.run(level)
    return found


def relative_ess(variables: Sequence[NDArray]) -> float:
    """Mean effective sample size of variables, (chains, draws, ...), as a share of the draws."""
    chains, draws = variables[0].shape[:2]
    if chains == 1:
        return 1.0
    values = [each.reshape(chains, draws, -1) for each in variables]
    return float(ess_mean(np.concatenate(values, axis=2)).mean()) / (chains * draws)


def influence_on_mean(
    values: NDArray, log_likelihood: NDArray, relative_ess: float = 1.0
) -> tuple[Floats, Floats]:
    """How far a mean moves when each patient is left out, in standard deviations of the draws.

    Parameters
    ----------
    values : (draws,) ndarray
        Of the quantity.
    log_likelihood : (draws, patients) ndarray
        Of each patient under each draw.
    relative_ess : float
        As of `left_out`.

    Returns
    -------
    size : (patients,) ndarray
        A distance, which has no sign.
    pareto_k : (patients,) ndarray
        Largest shape of the tails of the ratios and of their products with the values
        (Vehtari et al. 2024, section 3.3).
    """
    n_draws, n_patients = log_likelihood.shape
    mean, pareto_k = np.empty(n_patients), np.empty(n_patients)
    step = max(1, BLOCK // n_draws)
    for start in range(0, n_patients, step):
        some = slice(start, start + step)
        log_ratio = -log_likelihood[:, some].T
        log_weight, _ = pareto_smooth(log_ratio, relative_ess)
        mean[some] = np.exp(log_weight) @ values
        ratio = np.exp(log_ratio - log_ratio.max(axis=-1, keepdims=True))
        product = ratio * values
        shapes = [tail_shape(each) for each in (ratio, product, -product)]
        pareto_k[some] = np.fmax.reduce(shapes)
    return np.abs(mean - values.mean()) / values.std(ddof=1), pareto_k


def tail_shape(values: NDArray) -> Floats:
    """Pareto shape of the upper tail of draws, shape (rows,); they are (rows, draws)."""
    share = ess_tail(values.T[None], OUTER) / values.shape[-1]
    with np.errstate(divide="ignore"):
        # the shape of a tail does not depend on where values lie
        above = np.log(values - values.min(axis=-1, keepdims=True))
    return np.array([pareto_smooth(*row)[1] for row in zip(above, share, strict=True)])
