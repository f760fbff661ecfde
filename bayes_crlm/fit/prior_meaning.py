"""What priors of columns say of hazard ratios that a reader can picture.

A prior is of one column on the sampling scale. A reader thinks of a patient at the 90th percentile
of age against one at the 10th, and of two treatments neither of which is the reference. Where a
covariate has several columns, such as those of a spline, what they allow together is far wider
than what one of them does.
"""

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import level_text
from bayes_crlm.likelihood.intervals import automatic_number, coarse_number
from bayes_crlm.model.baseline_priors import GammaProcess, RandomWalk
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.families import Normal
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.priors import HALF_WIDTH_95
from bayes_crlm.model.terms.blocks import Block, Columns
from bayes_crlm.model.terms.horseshoe import Shrunk
from bayes_crlm.tasks.streams import own_stream
from bayes_crlm.words.shown import as_written, prior_ratio, significant, whole_percent
from bayes_crlm.words.wording import count_of

# of priors whose sums have no closed form; a fixed seed, so that nothing depends on chance
DRAWS, SEED = 20_000, 0
# log hazard ratios beyond this are no numbers any more
MOST_LOG = 700.0
# from this share of the patients on a gamma prior's weight pulls the hazard ratio
HEAVY = 0.1
# of a walk's variance, that of a step to an interval which is far from the others in log time
MOST_OF_A_STEP = 0.5
MOST_SHOWN = 8


def implied_rows(inputs: PreparedCohort) -> list[dict[str, Any]]:
    """Give the 95% range of hazard ratios that the priors allow, without any data.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.

    Returns
    -------
    list of dict
        of (treatment or covariate), to, against (levels; of a number its 90th and 10th percentile
        among the patients, or its two values), low, high (2.5% and 97.5% points of the hazard
        ratio), n_columns. Every two treatment levels; then each covariate's own columns, products
        with others left out.
    """
    design, first = inputs.design, inputs.design.first_row
    n_treatment = inputs.n_treatment_terms
    rows = []
    for one, other in combinations(range(len(design.levels)), 2):
        contrast = design.treatment_contrast(other) - design.treatment_contrast(one)
        low, high = limits(inputs.block_of_column(0), contrast)
        rows.append(row(design.treatment, design.levels[other], design.levels[one], low, high, 1))
        if one:
            rows[-1]["n_columns"] = 2
    columns: dict[str, list[int]] = {}
    for k in range(n_treatment, len(design.terms)):
        if len(design.variables[k]) == 1:
            columns.setdefault(next(iter(design.variables[k])), []).append(k)
    for name, own in columns.items():
        matrix = design.matrix[first][:, own]
        values = inputs.cohort.table[name].to_numpy()[first]
        is_number = values.dtype.kind in "biuf"
        if is_number and not any("[T." in design.terms[k] for k in own):
            places = tenth_and_ninetieth(values.astype(float))
            contrast = (matrix[places[1]] - matrix[places[0]]) / design.scale[own]
            low, high = limits(inputs.block_of_column(own[0]), contrast)
            shown = [float(values[place]) for place in reversed(places)]
            rows.append(row(name, *shown, low, high, len(own)))
            continue
        reference = reference_text(inputs, name, own)
        for k in own:
            low, high = limits(inputs.block_of_column(k), np.array([1 / design.scale[k]]))
            level = design.terms[k].partition("[T.")[2].removesuffix("]") or design.terms[k]
            rows.append(row(name, level.removesuffix(".0"), reference, low, high, 1))
    return rows


def reference_text(inputs: PreparedCohort, name: str, own: list[int]) -> str:
    """Name a factor's reference: the level of the rows in which none of its columns is 1."""
    columns, cohort = inputs.design.matrix[:, own], inputs.cohort
    at_reference = (columns <= columns.min(axis=0)).all(axis=1)
    written = cohort.number_texts.get(name)
    values = (cohort.table[name].to_numpy() if written is None else written[cohort.row_number - 1])[
        at_reference
    ]
    levels = {level_text(each) for each in values}
    return levels.pop() if len(levels) == 1 else "its reference"


def row(of: str, to: Any, against: Any, low: float, high: float, n_columns: int) -> dict[str, Any]:
    """Make one row of the table."""
    return {
        "of": of,
        "to": to,
        "against": against,
        "low": low,
        "high": high,
        "n_columns": n_columns,
    }


def tenth_and_ninetieth(values: NDArray) -> tuple[int, int]:
    """Places of a patient at the 10th and one at the 90th percentile; else lowest and highest."""
    order = np.argsort(values, kind="stable")
    low, high = (order[round(share * (len(values) - 1))] for share in (0.1, 0.9))
    if values[low] == values[high] or len(np.unique(values)) == 2:
        low, high = order[0], order[-1]
    return int(low), int(high)


def limits(block: Block | Shrunk, contrast: NDArray) -> tuple[float, float]:
    """Limits of the hazard ratio exp(effects @ contrast), of effects like those of a block."""
    if isinstance(block, Block):
        block = replace(block, priors=(block.priors[0],) * len(contrast))
        prior = block.priors[0]
        if isinstance(prior, Normal) and block.scale is None:
            middle = prior.mean * float(contrast.sum())
            half = HALF_WIDTH_95 * prior.sd * float(np.linalg.norm(contrast))
            return ratio(middle - half), ratio(middle + half)
    else:
        block = replace(block, enters=Columns(0, len(contrast)))
    rng = own_stream(SEED)
    effects = block.values(block.draw(rng, DRAWS))
    low, high = np.quantile(effects @ contrast, [0.025, 0.975]).tolist()
    return ratio(low), ratio(high)


def ratio(log_ratio: float) -> float:
    """Hazard ratio of a logarithm, bounded where it would be no number."""
    return math.exp(max(-MOST_LOG, min(MOST_LOG, log_ratio)))


def implied_in_words(rows: list[dict[str, Any]]) -> str:
    """Say on a line or two what the priors allow; factor levels of one range are said once."""
    phrases = []
    for each in rows:
        span = f"{prior_ratio(each['low'])} to {prior_ratio(each['high'])}"
        if isinstance(each["to"], float):
            name = f"{each['of']} {significant(each['to'])} against {significant(each['against'])}"
        else:
            name = f"{each['of']} {each['to']} against {each['against']}"
        phrases.append(f"{name}: {span}")
    rest = len(phrases) - MOST_SHOWN
    more = f"; {rest} more in the results" if rest > 0 else ""
    return f"95% of hazard ratios before the data: {'; '.join(phrases[:MOST_SHOWN])}{more}"


def baseline_cautions(model: ModelDefinition, inputs: PreparedCohort) -> tuple[str, ...]:
    """Say where the baseline's prior decides more than it should, or is not what it was."""
    return (
        *heavy_gamma_caution(inputs),
        *steep_step_caution(inputs),
        *changed_cutpoints_note(model, inputs),
    )


def heavy_gamma_caution(inputs: PreparedCohort) -> tuple[str, ...]:
    """Say where a gamma process pulls the hazard ratio itself."""
    baseline, patients = inputs.baseline, inputs.cohort.n_patients
    if not isinstance(baseline, GammaProcess) or baseline.weight < HEAVY * patients:
        return ()
    return (
        f"the gamma prior of the baseline counts as {significant(baseline.weight)} patients at "
        f"risk beside {patients} of the cohort: it pulls the baseline towards one constant hazard, "
        "and the hazard ratios with it; give model.baseline.weight = 1 to let the data speak",
    )


def steep_step_caution(inputs: PreparedCohort) -> tuple[str, ...]:
    """Say where one step of a walk takes most of its variance; of a single step it is all."""
    if not inputs.has_walk or inputs.intervals.n_intervals == 2:
        return ()
    share = inputs.step_variances / inputs.step_variances.sum()
    k = int(share.argmax())
    if share[k] <= MOST_OF_A_STEP:
        return ()
    before, after = inputs.intervals.labels[k : k + 2]
    return (
        f"the step of the baseline's walk from {before} to {after} takes {whole_percent(share[k])} "
        "of its variance, so that the prior holds all other hazards close to each other; is the "
        f"cutpoint {as_written(float(inputs.intervals.cutpoints[k + 1]))} intended?",
    )


def changed_cutpoints_note(model: ModelDefinition, inputs: PreparedCohort) -> tuple[str, ...]:
    """Say to who asks for the earlier default how many intervals it had."""
    n_events = inputs.cohort.n_events
    earlier = coarse_number(n_events)
    is_asked = isinstance(inputs.baseline, RandomWalk) and model.cutpoints == "auto"
    if not is_asked or earlier == automatic_number(n_events):
        return ()
    return (
        'model.baseline.cutpoints: "auto" has changed and is now '
        f"{count_of(automatic_number(n_events), 'interval')}; cutpoints = {earlier} gives the "
        "earlier result",
    )
