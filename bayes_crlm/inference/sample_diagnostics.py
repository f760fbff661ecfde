"""Whether a sample of any `pm.Model` can be trusted, and a hazard ratio in it."""

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.inference.chains import (
    ess_bulk,
    ess_tail,
    mcse_mean,
    r_hat,
    worst_mixing,
)
from bayes_crlm.inference.psis import PARETO_K_MOST

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class SamplingDiagnostics:
    """What says whether a sample can be trusted.

    Attributes
    ----------
    max_r_hat, min_ess_bulk, min_ess_tail : float
        Worst values over the variables looked at.
    divergences : int
        Divergent transitions.
    elpd_loo, elpd_loo_se, p_loo, max_pareto_k : float or None
        Leave-one-out cross-validation of the observed variable, where there is one.
    n_high_pareto_k : int
        Observations whose Pareto k is above 0.7.
    failures : tuple of str
        One sentence for each diagnostic that fails: results are then not to be trusted.
    remarks : tuple of str
        What a reader should know of `elpd_loo`; the draws themselves are not in question.
    """

    max_r_hat: float
    min_ess_bulk: float
    min_ess_tail: float
    divergences: int
    elpd_loo: float | None
    elpd_loo_se: float | None
    p_loo: float | None
    max_pareto_k: float | None
    n_high_pareto_k: int
    failures: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def is_trustworthy(self) -> bool:
        """Whether no diagnostic fails."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


def diagnose_sample(tree: "xr.DataTree", names: list[str]) -> SamplingDiagnostics:
    """Diagnose what `sample_model` gave, by the thresholds of `bayes_crlm.fit.diagnostics`.

    Parameters
    ----------
    tree : xarray.DataTree
        Of `sample_model`, with at most one observed variable.
    names : list of str
        Posterior variables that R-hat and effective sample sizes are taken of.

    Returns
    -------
    SamplingDiagnostics
    """
    posterior = tree["posterior"].to_dataset()[names]
    loo = None
    # draws too few for a diagnostic come out as nan, which counts as a failure below
    mixing = worst_mixing(posterior)
    if "log_likelihood" in tree.children:
        import arviz_stats as azs

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loo = azs.loo(tree, pointwise=True)
    divergences = n_divergences(tree)
    failures = mixing.failures(divergences)
    pareto_k = None if loo is None else np.asarray(loo.pareto_k)
    n_high = 0 if pareto_k is None else int(np.sum(~(pareto_k <= PARETO_K_MOST)))
    remarks = []
    if pareto_k is not None and n_high:
        remarks.append(
            f"{n_high} of {len(pareto_k)} observations have Pareto k above {PARETO_K_MOST}: do not "
            "trust elpd_loo"
        )
    return SamplingDiagnostics(
        max_r_hat=mixing.r_hat,
        min_ess_bulk=mixing.ess_bulk,
        min_ess_tail=mixing.ess_tail,
        divergences=divergences,
        elpd_loo=None if loo is None else float(loo.elpd),
        elpd_loo_se=None if loo is None else float(loo.se),
        p_loo=None if loo is None else float(loo.p),
        max_pareto_k=None if pareto_k is None else float(pareto_k.max()),
        n_high_pareto_k=n_high,
        failures=tuple(failures),
        remarks=tuple(remarks),
    )


def n_divergences(tree: "xr.DataTree") -> int:
    """Count divergent transitions."""
    return int(tree["sample_stats"].to_dataset()["diverging"].values.sum())


def ratio_summary(log_ratio: "xr.DataArray") -> dict[str, Any]:
    """Summarise draws of one log hazard ratio.

    Parameters
    ----------
    log_ratio : xarray.DataArray
        Dims chain and draw.

    Returns
    -------
    dict
        `median` and `eti95` (ratios), `prob_below_1`, `mean_log`, `sd_log`, `mcse_mean_log`,
        `ess_bulk`, `ess_tail`, `r_hat`.
    """
    values = log_ratio.values
    low, median, high = np.exp(np.quantile(values, [0.025, 0.5, 0.975]))
    return {
        "median": float(median),
        "eti95": [float(low), float(high)],
        "prob_below_1": float(np.mean(values < 0)),
        "mean_log": float(values.mean()),
        "sd_log": float(values.std(ddof=1)),
        "mcse_mean_log": float(mcse_mean(values)),
        "ess_bulk": float(ess_bulk(values)),
        "ess_tail": float(ess_tail(values)),
        "r_hat": float(r_hat(values)),
    }
