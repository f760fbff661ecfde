"""The crude hazard ratio beside the adjusted one, and the covariates that lie between them.

Leaving a covariate out means leaving out every column that is made of it, its products included;
intervals and priors stay. Which covariates move the ratio most is judged from the Cox fit: to
leave columns k out of a fit with estimate b and covariance C moves b_t by -C_tk C_kk^-1 b_k, to
first order. Those few are then left out in earnest, in the posterior and in Cox regression.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.frequentist.cox import Cox
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.words.shown import plain_ratio, ratio_in_words

MOST_MOVERS = 3
# a covariate that moves the hazard ratio by less than this factor is not worth naming
LEAST_MOVE = math.log(1.01)
REFIT_DRAWS = 2000
# beyond so many rows the refits would cost more than a twentieth of the main job
MOST_ROWS = 20_000


def crude_rows(fit: PosteriorDraws) -> list[dict[str, Any]]:
    """Estimate every treatment contrast without covariates, and without those that matter most.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.

    Returns
    -------
    list of dict
        For each level against the reference: treatment, reference, analysis ("adjusted", "crude",
        or "without <covariate>"), hazard_ratio, eti95_low, eti95_high, cox_hazard_ratio, cox_low,
        cox_high and moves_log_hr (adjusted less this one, of the posterior, else of Cox; 0 for
        the adjusted). Numbers that could not be found are None. Empty without covariates.
    """
    from bayes_crlm.fit.fitting import refitted_ratios
    from bayes_crlm.frequentist.cox import cox_of

    inputs = fit.inputs
    if not inputs.n_covariate_terms or inputs.cohort.n_rows > MOST_ROWS:
        return []
    n_treatment, n_terms = inputs.n_treatment_terms, len(inputs.design.terms)
    analyses: list[tuple[str, Numbers, Numbers]] = [
        ("adjusted", [*fit.treatment_ratios.ratios], cox_numbers(fit.cox, n_treatment))
    ]
    choices = [("crude", list(range(n_treatment)))]
    for name in movers(inputs, fit.cox):
        kept = [k for k in range(n_terms) if name not in inputs.design.variables[k]]
        # the only covariate's absence is the crude analysis
        if len(kept) > n_treatment:
            choices.append((f"without {name}", kept))
    for label, kept in choices:
        subset = with_columns(inputs, kept)
        found = refitted_ratios(subset, REFIT_DRAWS, fit.seed)
        analyses.append((label, found, cox_numbers(cox_of(subset), n_treatment)))
    adjusted = analyses[0]
    return [
        {
            "treatment": level,
            "reference": inputs.design.reference,
            "analysis": label,
            **dict(zip(POSTERIOR, posterior[k], strict=True)),
            **dict(zip(COX, cox[k], strict=True)),
            "moves_log_hr": moved(adjusted, posterior, cox, k),
        }
        for k, level in enumerate(inputs.design.levels[1:])
        for label, posterior, cox in analyses
    ]


POSTERIOR = ("hazard_ratio", "eti95_low", "eti95_high")
COX = ("cox_hazard_ratio", "cox_low", "cox_high")
Numbers = list[tuple[float | None, float | None, float | None]]


def moved(
    adjusted: tuple[str, Numbers, Numbers], posterior: Numbers, cox: Numbers, k: int
) -> float | None:
    """Log hazard ratio of the adjusted analysis less another one's."""
    for before, after in ((adjusted[1][k][0], posterior[k][0]), (adjusted[2][k][0], cox[k][0])):
        if before and after:
            return math.log(before) - math.log(after)
    return None


def cox_numbers(cox: Cox, n_treatment: int) -> Numbers:
    """Hazard ratios and limits of the treatment's contrasts."""
    rows = np.column_stack([cox.hazard_ratio, cox.ci95])[:n_treatment].tolist()

    def known(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return [(known(ratio), known(low), known(high)) for ratio, low, high in rows]


def with_columns(inputs: PreparedCohort, kept: list[int]) -> PreparedCohort:
    """Take the same cohort and intervals with some of the design's columns.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    kept : list of int
        Columns to keep, those of the treatment first.
    """
    design = inputs.design
    smaller = replace(
        design,
        terms=tuple(design.terms[k] for k in kept),
        matrix=design.matrix[:, kept],
        center=design.center[kept],
        scale=design.scale[kept],
        variables=tuple(design.variables[k] for k in kept),
    )
    return replace(inputs, design=smaller, data=replace(inputs.data, design=smaller.scaled))


def movers(inputs: PreparedCohort, cox: Cox) -> list[str]:
    """Name the covariates whose absence would move the treatment's log hazard ratio most.

    Returns
    -------
    list of str
        At most three, the one that moves it most first; empty where Cox has no estimate of every
        column.
    """
    variables, n_treatment = inputs.design.variables, inputs.n_treatment_terms
    coef, covariance = cox.coef, cox.covariance
    if not (np.isfinite(coef).all() and np.isfinite(covariance).all()):
        return []
    moves = {}
    for name in sorted(frozenset().union(*variables[n_treatment:])):
        k = [j for j in range(n_treatment, len(variables)) if name in variables[j]]
        shift = covariance[:n_treatment, k] @ np.linalg.pinv(covariance[np.ix_(k, k)]) @ coef[k]
        moves[name] = float(np.abs(shift).max())
    ordered = sorted(moves, key=lambda name: (-moves[name], name))
    return [name for name in ordered[:MOST_MOVERS] if moves[name] >= LEAST_MOVE]


def crude_sentence(rows: list[dict[str, Any]], treatment: Any) -> str | None:
    """Say one level's crude hazard ratio and what moves it, from rows of `crude_rows`.

    Parameters
    ----------
    rows : list of dict
        Of `crude_rows`.
    treatment : str, int, float or bool
        The level.

    Returns
    -------
    str or None
        None without covariates.
    """
    here = [row for row in rows if row["treatment"] == treatment]
    crude = next((row for row in here if row["analysis"] == "crude"), None)
    if crude is None:
        return None
    text = f"hazard ratio {numbers_in_words(crude, POSTERIOR)}"
    text += f"; Cox {numbers_in_words(crude, COX)}"
    others = [row for row in here if row["analysis"].startswith("without ")]
    moved_most = [said for row in others if (said := ratio_without(row)) is not None]
    if moved_most:
        text += f"; adjusted, but {', '.join(moved_most)}"
    return text


def numbers_in_words(row: dict[str, Any], names: tuple[str, str, str]) -> str:
    """Write a ratio of a row with its limits."""
    return ratio_in_words(row[names[0]], (row[names[1]], row[names[2]]))


def ratio_without(row: dict[str, Any]) -> str | None:
    """Write an analysis with its hazard ratio; Cox's, and said so, where there is no posterior."""
    if row["hazard_ratio"] is not None:
        return f"{row['analysis']} {plain_ratio(row['hazard_ratio'])}"
    # a horseshoe's posterior is not found again by these refits
    of_cox = row["cox_hazard_ratio"]
    return None if of_cox is None else f"{row['analysis']} {plain_ratio(of_cox)} (Cox)"
