"""What a reader should know of a cohort and a model before anything is fitted."""

from collections.abc import Iterable, Sequence
from typing import Any

from bayes_crlm.fit.observed_survival import kaplan_meier_cautions
from bayes_crlm.fit.prior_meaning import baseline_cautions
from bayes_crlm.model.arm_follow_up import beyond_follow_up, gap_cautions
from bayes_crlm.model.column_counts import count_cautions
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.origin import origin_cautions
from bayes_crlm.model.prepared import PreparedCohort


def cohort_cautions(
    model: ModelDefinition, inputs: PreparedCohort, columns: Iterable[str]
) -> list[str]:
    """Say what became of columns, rows and intervals, and on what few data rest.

    Parameters
    ----------
    model : ModelDefinition
        What is fitted: formula, intervals and priors.
    inputs : PreparedCohort
        The model's cohort.
    columns : iterable of str
        Columns of which something may have to be said.
    """
    return [
        *inputs.cohort.notes_on(columns),
        *inputs.cohort.remarks,
        *inputs.intervals.notes,
        *inputs.cautions,
        *count_cautions(inputs),
        *baseline_cautions(model, inputs),
    ]


def curve_cautions(
    inputs: PreparedCohort, origin: float, times: dict[str, Sequence[Any]]
) -> list[str]:
    """Say where survival curves begin late, end early or have gaps.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    origin : float
        Where curves begin.
    times : dict of str to sequence of float
        Times that are asked for, by what is asked.
    """
    return [
        *origin_cautions(origin, inputs),
        *beyond_follow_up(inputs, times),
        *gap_cautions(inputs, origin),
        *kaplan_meier_cautions(inputs, origin),
    ]
