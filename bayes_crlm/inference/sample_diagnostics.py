"""Whether a sample of any `pm.Model` can be trusted, and a hazard ratio in it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.inference.chains import (
    ess_bulk,
    ess_tail,
    mcse_mean,
    r_hat,
    worst_mixing,
)
from bayes_crlm.inference.left_out import left_out, relative_ess
from bayes_crlm.inference.psis import PARETO_K_MOST
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    import xarray as xr


@record
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
    elpd_loo: float | None = None
    elpd_loo_se: float | None = None
    p_loo: float | None = None
    max_pareto_k: float | None = None
    n_high_pareto_k: int = 0
    failures: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

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
    posterior = tree["posterior"].to_dataset()
    # draws too few for a diagnostic come out as nan, which counts as a failure below
    mixing = worst_mixing([posterior[name].values for name in names])
    divergences = n_divergences(tree)
    loo: dict[str, Any] = {}
    remarks = []
    if "log_likelihood" in tree.children:
        (each,) = tree["log_likelihood"].to_dataset().values()
        share = relative_ess([each.values for each in posterior.data_vars.values()])
        found = left_out(each.values.reshape(-1, each.shape[-1]), share)
        count, n_high = len(found.elpd), int(np.sum(~(found.pareto_k <= PARETO_K_MOST)))
        loo = {
            "elpd_loo": float(found.elpd.sum()),
            "elpd_loo_se": float(np.sqrt(count * found.elpd.var(ddof=1))),
            "p_loo": float((found.lpd - found.elpd).sum()),
            "max_pareto_k": float(found.pareto_k.max()),
            "n_high_pareto_k": n_high,
        }
        if n_high:
            remarks.append(
                f"{n_high} of {count} observations have Pareto k above {PARETO_K_MOST}: do not "
                "trust elpd_loo"
            )
    return SamplingDiagnostics(
        max_r_hat=mixing.r_hat,
        min_ess_bulk=mixing.ess_bulk,
        min_ess_tail=mixing.ess_tail,
        divergences=divergences,
        failures=tuple(mixing.failures(divergences)),
        remarks=tuple(remarks),
        **loo,
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
    return RatioSummary(values.reshape(-1, 1)).row() | {
        "mcse_mean_log": float(mcse_mean(values)),
        "ess_bulk": float(ess_bulk(values)),
        "ess_tail": float(ess_tail(values)),
        "r_hat": float(r_hat(values)),
    }
