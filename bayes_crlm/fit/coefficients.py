"""Log hazard ratios in numbers: every term's, and the treatment's hazard ratios."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.inference.chains import ess_bulk, ess_tail, mcse_mean, r_hat
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.model.withdrawn import withdrawal
from bayes_crlm.words.arguments import thresholds_of
from bayes_crlm.words.success import SuccessRule, success_rule

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.fit.draws import PosteriorDraws


def coefficient_table(fit: "PosteriorDraws", thresholds: Sequence[float]) -> "pd.DataFrame":
    """Posterior of every log hazard ratio in original units, with its Monte Carlo error.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    thresholds : sequence of float
        Hazard ratios r whose probability P(HR < r) is given.

    Returns
    -------
    pandas.DataFrame
        One row per term: term, treatment, reference, median, mean_log, sd_log,
        mcse_mean_log, eti95_low, eti95_high, prob_below_<r>, ess_bulk, ess_tail, r_hat;
        median and limits are log hazard ratios.
    """
    import pandas as pd

    return pd.DataFrame(coefficient_columns(fit, thresholds))


def coefficient_columns(
    fit: "PosteriorDraws", thresholds: Sequence[float], n_first: int | None = None
) -> dict[str, Any]:
    """Columns of `coefficient_table`, of all terms or the first, the treatment's contrasts."""
    thresholds = thresholds_of(thresholds)
    import pandas as pd

    values = fit.log_hazard_ratio_values[:, :n_first]
    found = RatioSummary(values)
    low, median, high = found.quantiles
    levels = list(fit.inputs.design.levels[1:])
    n_terms, n_treatment = values.shape[1], len(levels)
    nothing = [None] * (n_terms - n_treatment)
    table: dict[str, Any] = {
        "term": list(fit.inputs.design.terms[:n_terms]),
        # as objects from the start: pandas would make 1 and None into 1.0 and nan
        "treatment": pd.Series([*levels, *nothing], dtype=object),
        "reference": pd.Series(
            [*[fit.inputs.design.reference] * n_treatment, *nothing], dtype=object
        ),
        "median": median,
        "mean_log": found.mean_log,
        "sd_log": found.sd_log,
        "mcse_mean_log": None,  # below, by where the draws come from
        "eti95_low": low,
        "eti95_high": high,
    }
    for threshold in thresholds:
        table[f"prob_below_{threshold}"] = found.prob_below(threshold)
    if fit.importance is None:
        chains = values.reshape(*fit.vectors.shape[:2], n_terms)
        table["mcse_mean_log"] = mcse_mean(chains)
        table["ess_bulk"] = ess_bulk(chains)
        table["ess_tail"] = ess_tail(chains)
        table["r_hat"] = r_hat(chains)
    else:
        table["mcse_mean_log"] = fit.monte_carlo_errors(values).mean
        table["ess_bulk"] = np.full(n_terms, fit.importance.ess)
        table["ess_tail"] = fit.importance.ess_tail[:n_terms]
        table["r_hat"] = np.full(n_terms, np.nan)
    return table


def hazard_ratio_table(
    fit: "PosteriorDraws", thresholds: Sequence[float], success: SuccessRule | None = None
) -> "pd.DataFrame":
    """Posterior hazard ratio of every treatment level against the reference.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    thresholds : sequence of float
        Hazard ratios r whose probability P(HR < r) is given.
    success : SuccessRule, optional
        By which is concluded; 0.975 on one side of 1 without it.

    Returns
    -------
    pandas.DataFrame
        As `coefficients`, treatment rows only, with median and limits as hazard ratios;
        then prob_below_effect, P(HR < the rule's effect), and conclusion: "lower", "higher",
        "undecided", or "withdrawn" where a level without events leaves nothing to conclude
        from. `Fit.answers` withdraws what diagnostics do not allow, too.
    """
    rule = success_rule(success)
    n_treatment = fit.inputs.n_treatment_terms
    import pandas as pd

    table = coefficient_columns(fit, thresholds, n_treatment)
    effects = RatioSummary(fit.log_hazard_ratio_values[:, :n_treatment])
    share_below = effects.prob_below(rule.effect)
    conclusions = [
        "withdrawn" if withdrawal(fit.inputs, (), (k + 1, 0)) else rule.conclusion(each)
        for k, each in enumerate(share_below.tolist())
    ]
    table |= {name: np.exp(table[name]) for name in ("median", "eti95_low", "eti95_high")}
    return pd.DataFrame(table | {"prob_below_effect": share_below, "conclusion": conclusions})
