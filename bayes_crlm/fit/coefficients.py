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
    from bayes_crlm.fit.draws import PosteriorDraws


def coefficient_rows(
    fit: "PosteriorDraws", thresholds: Sequence[float], n_first: int | None = None
) -> list[dict[str, Any]]:
    """Posterior of every log hazard ratio in original units, with its Monte Carlo error.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    thresholds : sequence of float
        Hazard ratios r whose probability P(HR < r) is given.
    n_first : int, optional
        So many terms alone; the treatment's come first.

    Returns
    -------
    list of dict
        One row per term: term, treatment, reference, median, mean_log, sd_log,
        mcse_mean_log, eti95_low, eti95_high, prob_below_<r>, ess_bulk, ess_tail, r_hat;
        median and limits are log hazard ratios.
    """
    thresholds, design = thresholds_of(thresholds), fit.inputs.design
    values = fit.log_hazard_ratio_values[:, :n_first]
    found, n_terms = RatioSummary(values), values.shape[1]
    low, median, high = found.quantiles
    if fit.importance is None:
        chains = values.reshape(*fit.vectors.shape[:2], n_terms)
        error, bulk, tail = mcse_mean(chains), ess_bulk(chains), ess_tail(chains)
        mixing = r_hat(chains)
    else:
        error = fit.monte_carlo_errors(values).mean
        bulk, tail = np.full(n_terms, fit.importance.ess), fit.importance.ess_tail
        mixing = np.full(n_terms, np.nan)
    below = {f"prob_below_{each}": found.prob_below(each) for each in thresholds}
    contrasts = [(level, design.reference) for level in design.levels[1:]]
    contrasts += [(None, None)] * (n_terms - len(contrasts))
    columns = {
        "median": median,
        "mean_log": found.mean_log,
        "sd_log": found.sd_log,
        "mcse_mean_log": error,
        "eti95_low": low,
        "eti95_high": high,
        **below,
        "ess_bulk": bulk,
        "ess_tail": tail,
        "r_hat": mixing,
    }
    return [
        {"term": design.terms[k], "treatment": treatment, "reference": reference}
        | {name: float(each[k]) for name, each in columns.items()}
        for k, (treatment, reference) in enumerate(contrasts)
    ]


def hazard_ratio_rows(
    fit: "PosteriorDraws", thresholds: Sequence[float], success: SuccessRule | None = None
) -> list[dict[str, Any]]:
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
    list of dict
        As `coefficient_rows`, treatment rows only, with median and limits as hazard ratios;
        then prob_below_effect, P(HR < the rule's effect), and conclusion: "lower", "higher",
        "undecided", or "withdrawn" where a level without events leaves nothing to conclude
        from. `Fit.answers` withdraws what diagnostics do not allow, too.
    """
    rule = success_rule(success)
    rows = coefficient_rows(fit, thresholds, fit.inputs.n_treatment_terms)
    shares = fit.treatment_ratios.prob_below(rule.effect).tolist()
    for k, (row, below) in enumerate(zip(rows, shares, strict=True)):
        row |= {name: float(np.exp(row[name])) for name in ("median", "eti95_low", "eti95_high")}
        why = withdrawal(fit.inputs, (), (k + 1, 0))
        row["prob_below_effect"] = below
        row["conclusion"] = "withdrawn" if why else rule.conclusion(below)
    return rows
