"""The answer: each treatment level against another, what is concluded, and when nothing is.

An answer is withdrawn when a diagnostic says not to trust the draws, and when one of the two
levels has no events: its hazard ratio is then as small, or as large, as the prior lets it be. The
reason stands in the place of the sentence; the numbers stay in the tables.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.frequentist.cox import Cox
from bayes_crlm.inference.chains import ess_bulk
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.model.priors import HALF_WIDTH_95
from bayes_crlm.model.withdrawn import withdrawal
from bayes_crlm.words.late_start import ANALYSES, AS_TREATED_ONLY, other_conclusion
from bayes_crlm.words.shown import number, p_value_after_p
from bayes_crlm.words.success import SuccessRule

# of the treatment's test of proportional hazards: below it the ratio changes during follow-up
PROPORTIONAL_P_LEAST = 0.05
COUNTED = {"time_dependent": "Counted from its start on", "landmark": "At the landmark"}


def answer_rows(
    fit: PosteriorDraws,
    rule: SuccessRule,
    failures: Sequence[str] = (),
    thresholds: Sequence[float] = (),
) -> list[dict[str, Any]]:
    """Compare every two treatment levels: first those with the reference, then the others.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    rule : SuccessRule
        When a hazard counts as lower or higher.
    failures : sequence of str
        Diagnostics that fail.
    thresholds : sequence of float
        Hazard ratios r other than 1 whose probability P(HR < r) is given.

    Returns
    -------
    list of dict
        treatment, reference, median, eti95_low, eti95_high (hazard ratio), prob_lower,
        prob_higher (that the hazard is), prob_below_effect (that the ratio is below the rule's
        effect), prob_below (by threshold), ess_bulk, cox_hazard_ratio, cox_low, cox_high,
        conclusion ("lower", "higher", "undecided" or "withdrawn"), withdrawn (why, or None).
    """
    levels, n_treatment = fit.inputs.design.levels, fit.inputs.n_treatment_terms
    ratios = fit.log_hazard_ratio_values[:, :n_treatment]
    effect = np.column_stack([np.zeros(len(ratios)), ratios])
    pairs = [(k, 0) for k in range(1, len(levels))]
    pairs += [(second, first) for first, second in combinations(range(1, len(levels)), 2)]
    draws = np.column_stack([effect[:, one] - effect[:, other] for one, other in pairs])
    found, effective = RatioSummary(draws), effective_draws(fit, draws)
    below, lower = found.prob_below(rule.effect), found.prob_below(1.0)
    rows = []
    for k, (treated, reference) in enumerate(pairs):
        why = withdrawal(fit.inputs, failures, (treated, reference))
        rows.append(
            {
                "treatment": levels[treated],
                "reference": levels[reference],
                **dict(zip(("median", "eti95_low", "eti95_high"), found.ratios[k], strict=True)),
                "prob_lower": float(lower[k]),
                "prob_higher": float(np.mean(draws[:, k] > 0)),
                "prob_below_effect": float(below[k]),
                "prob_below": found.below_by_threshold([r for r in thresholds if r != 1], k),
                "ess_bulk": effective[k],
            }
            | cox_contrast(fit.cox, treated, reference)
            | {
                "conclusion": "withdrawn" if why else rule.conclusion(float(below[k])),
                "withdrawn": why,
            }
        )
    return rows


def effective_draws(fit: PosteriorDraws, draws: np.ndarray) -> list[float]:
    """Effective number of draws of each log hazard ratio; nan where chains are too short."""
    if fit.importance is not None:
        return [float(fit.importance.ess)] * draws.shape[1]
    return ess_bulk(draws.reshape(*fit.vectors.shape[:2], -1)).tolist()


def cox_contrast(cox: Cox, treated: int, reference: int) -> dict[str, float]:
    """Cox's hazard ratio between two levels with Wald limits; nan where it has none.

    Against the reference the limits are those of the fit itself: profile limits after Firth.
    """
    coef = np.concatenate([[0.0], cox.coef])
    if not reference:
        low, high = cox.ci95[treated - 1]
        return {
            "cox_hazard_ratio": float(cox.hazard_ratio[treated - 1]),
            "cox_low": float(low),
            "cox_high": float(high),
        }
    difference = coef[treated] - coef[reference]
    i, j = treated - 1, reference - 1
    variance = cox.covariance[i, i] + cox.covariance[j, j] - 2 * cox.covariance[i, j]
    half = HALF_WIDTH_95 * math.sqrt(max(variance, 0.0)) if variance == variance else math.nan
    with np.errstate(over="ignore"):
        ratio, low, high = np.exp([difference, difference - half, difference + half])
    return {"cox_hazard_ratio": float(ratio), "cox_low": float(low), "cox_high": float(high)}


def side_of(row: dict[str, Any]) -> tuple[str, float]:
    """Tell the side of 1 on which a row's ratio lies, "lower" or "higher", and its probability."""
    is_lower = row["median"] <= 1
    return ("lower", row["prob_lower"]) if is_lower else ("higher", row["prob_higher"])


def answer_sentence(
    row: dict[str, Any],
    treatment: str,
    rule: SuccessRule,
    headline: Mapping[str, Any] | None = None,
    *,
    has_wait: bool = False,
) -> str:
    """Say one comparison in a sentence, or why there is none.

    Parameters
    ----------
    row : dict
        Of `answer_rows`.
    treatment : str
        The treatment's column.
    rule : SuccessRule
        When a hazard counts as lower or higher.
    headline : mapping, optional
        The row that is concluded from where it is another one: that of an analysis in which
        treatment counts from its start, with eti95, prob_below and prob_below_effect.
    has_wait : bool
        Whether treated patients waited for treatment, which a comparison as treated has to say.
    """
    if row["withdrawn"]:
        return f"{treatment} {row['treatment']} against {row['reference']}: {row['withdrawn']}."
    if headline is not None and headline.get("analysis") in COUNTED:
        low, high = headline["eti95"]
        below = headline["prob_below"].get("1.0")
        sentence = (
            f"{COUNTED[headline['analysis']]}, with {treatment} = {row['treatment']} the hazard of "
            f"the event was {number(headline['median'])} times that with {row['reference']} (95% "
            f"credible interval {number(low)} to {number(high)})"
        )
        if below is not None:
            side = "lower" if headline["median"] <= 1 else "higher"
            probability = below if side == "lower" else 1 - below
            phrase = rule.written(probability, row["ess_bulk"])
            sentence += f"; probability that the hazard is {side}: {phrase}"
        other = other_conclusion(rule, row, headline)
        return (
            f"{rule.sentence(headline)} {sentence}; as treated from time zero on it was "
            f"{number(row['median'])} times ({number(row['eti95_low'])} to "
            f"{number(row['eti95_high'])}){f', {other}' if other else ''}."
        )
    side, probability = side_of(row)
    return (
        f"{rule.sentence(row)} With {treatment} = {row['treatment']} the hazard of the event was "
        f"{number(row['median'])} times that with {row['reference']} (95% credible interval "
        f"{number(row['eti95_low'])} to {number(row['eti95_high'])}); probability that the hazard "
        f"is {side}: {rule.written(probability, row['ess_bulk'])}."
        + (f" {AS_TREATED_ONLY}." if has_wait else "")
    )


def proportionality_warnings(
    fit: PosteriorDraws, start: Mapping[str, Any] | None = None
) -> list[str]:
    """Warn where the treatment's hazard ratio is not the same all through follow-up.

    Grambsch and Therneau's test, one for each treatment contrast, as in `Cox.ph_test`: of patients
    as treated, which is said where the headline of `start` is another analysis.
    """
    design = fit.inputs.design
    tests = dict(fit.cox.ph_test)
    changing = [
        f"{level} (test: p {p_value_after_p(tests[term])})"
        for term, level in zip(design.terms, design.levels[1:], strict=False)
        if tests.get(term, math.nan) < PROPORTIONAL_P_LEAST
    ]
    if not changing:
        return []
    is_other = start is not None and start["headline"] != "as_treated"
    tested = f" {ANALYSES['as_treated']}" if is_other else ""
    return [
        f"the hazard of {design.treatment} {' and of '.join(changing)} is not proportional to that "
        f"of {design.reference}{tested}: such a hazard ratio is an average over follow-up that "
        "may hold at no time, and survival curves, medians and differences that assume it mislead "
        "where Kaplan-Meier's lie elsewhere"
    ]
