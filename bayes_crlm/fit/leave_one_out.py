"""Leave-one-patient-out cross-validation by Pareto-smoothed importance sampling.

References
----------
Vehtari, Gelman & Gabry (2017), Stat Comput 27:1413-1432; Magnusson, Andersen, Jonasson & Vehtari
(2019), ICML, PMLR 97:4244-4253 (draws of an approximation; subsampling).
"""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.moment_matching import matched_moments
from bayes_crlm.fit.tree import groups_of
from bayes_crlm.inference.left_out import LeftOut, left_out, relative_ess
from bayes_crlm.inference.psis import LEAST_DRAWS, PARETO_K_MOST, pareto_smooth
from bayes_crlm.likelihood.hazard_table import patient_log_likelihood
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.density import BlockModel, hazards_of_vectors, log_density
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]


@record
class Loo:
    """Leave-one-patient-out predictive density.

    Attributes
    ----------
    elpd, se, p : float
        Expected log predictive density, its standard error, effective number of parameters.
    pareto_k : (sampled patients,) ndarray
        Shape of the importance weights' tail, after moment matching.
    n_moment_matched : int
        Patients whose k was high before moment matching.
    n_sampled : int
        Patients left out in turn: all, or the sample that the tree of a large cohort holds.
    subsampling_se : float
        The part of the standard error that comes from sampling patients.
    """

    elpd: float
    se: float
    p: float
    pareto_k: Floats
    n_moment_matched: int
    n_sampled: int
    subsampling_se: float = 0.0


def leave_one_out(fit: PosteriorDraws) -> Loo:
    """PSIS-LOO per patient, with moment matching where Pareto k is high.

    For a cohort whose tree holds a sample of the patients, the sum over all is estimated from it by
    the difference estimator: every patient's log density at the posterior mean, plus what leaving
    out changes in the sample.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.

    Returns
    -------
    Loo
    """
    likelihoods = groups_of(fit)["log_likelihood"]["event"]
    n_sampled = likelihoods.shape[-1]
    log_likelihood = likelihoods.reshape(-1, n_sampled)
    if len(log_likelihood) < LEAST_DRAWS:
        return Loo(np.nan, np.nan, np.nan, np.full(n_sampled, np.nan), 0, n_sampled)
    is_weighted = "proposals" in groups_of(fit)
    if is_weighted:
        found = left_out_of_proposals(fit)
    else:
        found = left_out(log_likelihood, relative_efficiency(fit))
    n_high = int(np.sum(~(found.pareto_k <= PARETO_K_MOST)))
    if n_high and is_weighted:
        # moments are matched to draws of the posterior, for patients whose weights had too heavy
        # a tail before resampling cut it off
        of_draws = left_out(log_likelihood, relative_efficiency(fit))
        found = replace(of_draws, pareto_k=np.maximum(of_draws.pareto_k, found.pareto_k))
    if n_high:
        match_moments(fit, found)
    if n_sampled < fit.inputs.data.n_patients:
        return scaled_up(fit, found, n_high)
    return Loo(
        elpd=float(found.elpd.sum()),
        se=float(np.sqrt(n_sampled * found.elpd.var(ddof=1))) if n_sampled > 1 else 0.0,
        p=float((found.lpd - found.elpd).sum()),
        pareto_k=found.pareto_k,
        n_moment_matched=n_high,
        n_sampled=n_sampled,
    )


def left_out_of_proposals(fit: PosteriorDraws) -> LeftOut:
    """Leave every patient out of the weighted proposals that importance-sampled draws come from.

    Better than smoothed ratios of draws that were themselves resampled by smoothed ratios.
    """
    proposals = groups_of(fit)["proposals"]
    at = hazards_of_vectors(proposals["vector"][0], fit.inputs.block_model)
    each = patient_log_likelihood(at, fit.inputs.data.of_patients(stored_patients(fit)))
    return left_out(each, log_ratio=proposals["log_ratio"][0])


def relative_efficiency(fit: PosteriorDraws) -> float:
    """Mean effective sample size of the posterior's variables, as a share of the draws."""
    posterior = groups_of(fit)["posterior"]
    return relative_ess([posterior[name] for name in posterior.variables])


def stored_patients(fit: PosteriorDraws) -> NDArray[np.intp]:
    """Places in the cohort of the patients whose log-likelihoods the tree holds."""
    import pandas as pd

    stored = groups_of(fit)["log_likelihood"]["patient"]
    return pd.Index(fit.inputs.cohort.patients).get_indexer(pd.Index(stored))


def match_moments(fit: PosteriorDraws, found: LeftOut) -> None:
    """Put numbers after moment matching in place, of patients whose k is high and then smaller.

    Parameters
    ----------
    fit : PosteriorDraws
        Whose draws are moved.
    found : LeftOut
        Before; `elpd` and `pareto_k` are overwritten.
    """
    inputs, model = fit.inputs, fit.inputs.block_model
    share = relative_efficiency(fit)
    # the draws of all chains at one time stand together: halves are halves of every chain
    draws = fit.vectors.swapaxes(0, 1).reshape(-1, fit.vectors.shape[-1])
    stored = stored_patients(fit)
    for patient in np.flatnonzero(found.pareto_k > PARETO_K_MOST):
        matched = matched_moments(
            draws,
            partial(log_density, model=model),
            partial(
                one_log_likelihood, model=model, own=inputs.data.of_patients(stored[[patient]])
            ),
            found.pareto_k[patient],
            partial(pareto_smooth, relative_ess=share),
        )
        if matched is not None:
            found.elpd[patient], found.pareto_k[patient] = (
                np.logaddexp.reduce(matched[0]),
                matched[1],
            )


def one_log_likelihood(vectors: NDArray, model: BlockModel, own: SurvivalData) -> Floats:
    """Log-likelihood of a cohort of one patient at unconstrained draws."""
    return patient_log_likelihood(hazards_of_vectors(vectors, model), own)[:, 0]


def scaled_up(fit: PosteriorDraws, found: LeftOut, n_matched: int) -> Loo:
    """Estimate the cohort's cross-validation from that of a sample of its patients.

    References
    ----------
    Magnusson, Vehtari, Jonasson & Andersen (2020), AISTATS, PMLR 108:341-351.
    """
    n_patients, n_sampled = fit.inputs.data.n_patients, len(found.elpd)
    at_mean = patient_log_likelihood(fit.hazards.mean(), fit.inputs.data)[0]
    of_sample, total = at_mean[stored_patients(fit)], at_mean.sum()
    difference = found.elpd - of_sample
    elpd = total + n_patients * difference.mean()
    unsampled = 1 - n_sampled / n_patients
    sampling_variance = n_patients**2 * unsampled * difference.var(ddof=1) / n_sampled
    squares = (at_mean**2).sum() + n_patients * (found.elpd**2 - of_sample**2).mean()
    # the square of the sum, estimated without bias
    square = (elpd - total) ** 2 - sampling_variance + 2 * total * elpd - total**2
    return Loo(
        elpd=float(elpd),
        se=float(np.sqrt(max(squares - square / n_patients, 0.0))),
        p=float(n_patients * (found.lpd - found.elpd).mean()),
        pareto_k=found.pareto_k,
        n_moment_matched=n_matched,
        n_sampled=n_sampled,
        subsampling_se=float(np.sqrt(sampling_variance)),
    )
