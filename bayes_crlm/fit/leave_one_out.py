"""Leave-one-patient-out cross-validation by Pareto-smoothed importance sampling.

References
----------
Vehtari, Gelman & Gabry (2017), Stat Comput 27:1413-1432; Paananen et al. (2021), Stat Comput
31:16 (moment matching); Magnusson, Andersen, Jonasson & Vehtari (2019), ICML, PMLR 97:4244-4253
(subsampling).
"""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.fit.tree import posterior_of
from bayes_crlm.inference.psis import PARETO_K_MOST
from bayes_crlm.likelihood.hazard_table import patient_log_likelihood
from bayes_crlm.model.density import hazards_of_vectors, log_density

if TYPE_CHECKING:
    import xarray as xr

    from bayes_crlm.fit.draws import PosteriorDraws

# the generalised Pareto distribution is fitted to the largest fifth of the draws, at least 5
PSIS_LEAST_DRAWS = 25


@dataclass(frozen=True)
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
    pareto_k: NDArray[np.float64]
    n_moment_matched: int
    n_sampled: int
    subsampling_se: float = 0.0


def leave_one_out(fit: "PosteriorDraws") -> Loo:
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
    import arviz_stats as azs

    sizes = posterior_of(fit)["posterior"].sizes
    n_sampled = posterior_of(fit)["log_likelihood"].sizes["patient"]
    if sizes["chain"] * sizes["draw"] < PSIS_LEAST_DRAWS:
        return Loo(np.nan, np.nan, np.nan, np.full(n_sampled, np.nan), 0, n_sampled)
    with warnings.catch_warnings():
        # a high k is reported by this package in its own words
        warnings.simplefilter("ignore")
        is_weighted = "proposals" in posterior_of(fit).children
        if is_weighted:
            loo = loo_of_proposals(fit)
        else:
            loo = azs.loo(posterior_of(fit), var_name="event", pointwise=True)
        n_high = int(np.sum(~(np.asarray(loo.pareto_k) <= PARETO_K_MOST)))
        if n_high:
            if is_weighted:
                # moments are matched to draws of the posterior, for patients whose weights had
                # too heavy a tail before resampling cut it off
                of_proposals = loo.pareto_k
                loo = azs.loo(posterior_of(fit), var_name="event", pointwise=True)
                loo.pareto_k = loo.pareto_k.clip(min=of_proposals.values)
            loo = moment_matched(fit, loo)
    pareto_k = np.asarray(loo.pareto_k, dtype=float)
    if n_sampled == fit.inputs.data.n_patients:
        return Loo(float(loo.elpd), float(loo.se), float(loo.p), pareto_k, n_high, n_sampled)
    return scaled_up(fit, loo, pareto_k, n_high)


def loo_of_proposals(fit: "PosteriorDraws") -> Any:
    """Leave-one-out from the weighted proposals that importance-sampled draws come from.

    Each patient's ratio is that of the posterior without the patient to the proposal, smoothed
    once, instead of a smoothed ratio on top of draws that were resampled by smoothed ratios.

    References
    ----------
    Magnusson, Andersen, Jonasson & Vehtari (2019), ICML, PMLR 97:4244-4253.
    """
    import arviz_stats as azs
    import xarray as xr

    inputs, proposals = fit.inputs, posterior_of(fit)["proposals"].to_dataset()
    data = inputs.data.of_patients(stored_patients(fit))
    at = hazards_of_vectors(proposals["vector"].values[0], inputs.block_model)
    each = patient_log_likelihood(at, data)
    stored = posterior_of(fit)["log_likelihood"].to_dataset()["event"]
    log_likelihood = xr.Dataset(
        {"event": (("chain", "draw", "patient"), each[None])},
        coords={name: proposals[name] for name in ("chain", "draw")}
        | {"patient": stored["patient"]},
    )
    return azs.loo_approximate_posterior(
        xr.DataTree.from_dict({"posterior": proposals, "log_likelihood": log_likelihood}),
        log_p=proposals["log_ratio"],
        log_q=xr.zeros_like(proposals["log_ratio"]),
        pointwise=True,
        var_name="event",
    )


def stored_patients(fit: "PosteriorDraws") -> NDArray[np.intp]:
    """Places in the cohort of the patients whose log-likelihoods the tree holds."""
    import pandas as pd

    stored = posterior_of(fit)["log_likelihood"]["patient"].values
    return pd.Index(fit.inputs.cohort.patients).get_indexer(pd.Index(stored))


def scaled_up(fit: "PosteriorDraws", loo: Any, pareto_k: NDArray, n_high: int) -> Loo:
    """Estimate the cohort's cross-validation from that of a sample of its patients."""
    import arviz_stats  # noqa: F401  registers the `azstats` accessor
    from scipy.special import logsumexp

    n_patients = fit.inputs.data.n_patients
    at_mean = patient_log_likelihood(fit.hazards.mean(), fit.inputs.data)[0]
    elpd, subsampling_se, se = loo.elpd_i.azstats.diff_srs_estimator(
        lpd_approx_sample=at_mean[stored_patients(fit)],
        lpd_approx_all=at_mean,
        n_data_points=n_patients,
    )
    stored = posterior_of(fit)["log_likelihood"].to_dataset()["event"]
    n_draws = stored.sizes["chain"] * stored.sizes["draw"]
    lpd = logsumexp(stored.values.reshape(n_draws, -1), axis=0) - np.log(n_draws)
    p, *_ = (lpd - loo.elpd_i).azstats.srs_estimator(n_data_points=n_patients)
    return Loo(
        float(elpd), float(se), float(p), pareto_k, n_high, len(pareto_k), float(subsampling_se)
    )


def moment_matched(fit: "PosteriorDraws", loo: Any) -> Any:
    """Match moments for the patients whose Pareto k is high."""
    import arviz_stats as azs
    import xarray as xr

    inputs, model = fit.inputs, fit.inputs.block_model
    data = inputs.data.of_patients(stored_patients(fit))
    dims = ("chain", "draw")

    def unpack(upars: "xr.DataArray") -> tuple["xr.DataArray", NDArray]:
        ordered = upars.transpose(*dims, ...)
        return ordered, ordered.values.reshape(-1, ordered.shape[-1])

    def labelled(values: NDArray, ordered: "xr.DataArray") -> "xr.DataArray":
        return xr.DataArray(
            values.reshape(ordered.shape[:2]),
            dims=dims,
            coords={dim: ordered[dim] for dim in dims},
        )

    def log_density_of(upars: "xr.DataArray") -> "xr.DataArray":
        ordered, vector = unpack(upars)
        return labelled(log_density(vector, model), ordered)

    def log_likelihood_of(upars: "xr.DataArray", i: int) -> "xr.DataArray":
        ordered, vector = unpack(upars)
        one = data.of_patients(np.array([i]))
        each = patient_log_likelihood(hazards_of_vectors(vector, model), one)
        return labelled(each[:, 0], ordered)

    return azs.loo_moment_match(
        posterior_of(fit),
        loo,
        log_prob_upars_fn=log_density_of,
        log_lik_i_upars_fn=log_likelihood_of,
        upars=posterior_of(fit)["unconstrained_posterior"]["vector"],
        var_name="event",
        k_threshold=PARETO_K_MOST,
    )
