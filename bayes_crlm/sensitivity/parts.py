"""What every part of a sensitivity analysis is given, and what it gives back.

A part is a module with `Settings`, the table `[sensitivity.<part>]` of a spec, and
`analyse(context, settings)`. It may have `check(plan, settings)`, which refuses, before anything
is run, what the cohort or the settings do not allow. Modules are imported when they are needed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bayes_crlm.errors import SensitivityError
from bayes_crlm.tasks import Task, TaskResult

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from bayes_crlm.analysis import Plan
    from bayes_crlm.fit import Fit

__all__ = [
    "CREDIBLE",
    "PARTS",
    "TWO_THRESHOLDS",
    "Context",
    "NotRunError",
    "PartResult",
    "conclusion",
    "contrasts_note",
    "moves_conclusion",
    "part_module",
    "reliable",
    "side_of",
    "unreliable_note",
]

PARTS = (
    "multiverse",
    "power_scaling",
    "priors",
    "reverse_bayes",
    "unmeasured_confounding",
    "immortal_time",
    "missing_data",
    "influence",
    "informative_censoring",
    "overlap",
    "proportional_hazards",
    "cutpoints",
)
"""Names of the parts, in the order of the report; each is a module of this package."""

CREDIBLE = 0.95
"""Probability from which on the hazard ratio is said to lie on one side of 1."""

TWO_THRESHOLDS = (
    "The conclusion asks for more than 95% probability on one side of 1, as a 90% interval beside "
    "1 does; this part asks whether the 95% interval holds 1, which takes 97.5%. Between the two a "
    "finding has its conclusion, but an interval that reaches 1."
)
"""What parts say that go by the limits of the 95% interval."""


class NotRunError(SensitivityError):
    """A part cannot be run on this cohort: one sentence that says why."""


@dataclass(frozen=True)
class Context:
    """What a part knows of the analysis.

    Attributes
    ----------
    plan : Plan
        Spec, model and cohort as they stand.
    base : dict
        Result of `bayes_crlm.sensitivity.refit.refit` without a change.
    make_fit : callable
        Fits the base model; `fit` calls it once, when it is first asked for.
    level : int
        Place of the treatment level in `design.levels` whose hazard ratio is the question,
        from 1.
    seed : int
        Of all randomness.
    run : callable
        From the name of a progress bar and tasks to their results, in order. The
        functions of the tasks take a `bayes_crlm.sensitivity.refit.Shared` first.
    """

    plan: "Plan"
    base: dict[str, Any]
    make_fit: Callable[[], "Fit"]
    level: int
    seed: int
    run: Callable[[str, Sequence[Task]], list[TaskResult]]

    @cached_property
    def fit(self) -> "Fit":
        """The base model's posterior with all its draws."""
        return self.make_fit()


@dataclass(frozen=True)
class PartResult:
    """What a part found.

    Attributes
    ----------
    result : dict
        What stands under the part's name in `sensitivity.json`: plain values, arrays, tuples.
    sentence : str
        What the part says, for a reader in a hurry.
    moves : bool or None
        Whether it turns the conclusion; None where that is not the part's question, or no refit
        passes its diagnostic.
    would_move : str or None
        What of a wider grid, or of combinations, would turn a conclusion that holds otherwise.
    tables : mapping of str to pandas.DataFrame
        By file name.
    figures : mapping of str to (caption, callable)
        By file name; the callable draws the figure.
    notes : tuple of str
        What a reader should know of how the numbers came about.
    """

    result: dict[str, Any]
    sentence: str
    moves: bool | None
    tables: Mapping[str, "pd.DataFrame"] = field(default_factory=dict)
    figures: Mapping[str, tuple[str, Callable[[], "Figure"]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    would_move: str | None = None


def part_module(name: str) -> ModuleType:
    """Import a part's module.

    Raises
    ------
    NotRunError
        When this version of the package does not have it.
    """
    where = f"bayes_crlm.sensitivity.{name}"
    try:
        module = import_module(where)
    except ModuleNotFoundError as problem:
        if problem.name != where:
            raise
        module = None
    if module is None or not hasattr(module, "analyse"):
        raise NotRunError(f"{name} is not part of this version of bayes_crlm")
    return module


def conclusion(row: Mapping[str, Any]) -> str:
    """Say on which side of 1 the hazard ratio lies.

    Parameters
    ----------
    row : mapping
        With `prob_below_1`.

    Returns
    -------
    {"below", "above", "undecided"}
        By a probability above `CREDIBLE`.
    """
    if row["prob_below_1"] > CREDIBLE:
        return "below"
    return "above" if row["prob_below_1"] < 1 - CREDIBLE else "undecided"


def moves_conclusion(base: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool | None:
    """Whether any of some refits concludes otherwise than the base; None where nothing can say.

    Rows that fail their diagnostic say nothing either way; a part says how many there are.
    """
    trusted = reliable(rows)
    return any(conclusion(row) != conclusion(base) for row in trusted) if trusted else None


def reliable(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep the rows that do not fail their diagnostic (`is_reliable`)."""
    return [row for row in rows if row.get("is_reliable") is not False]


def unreliable_note(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which rows fail their diagnostic, and that they do not count; nothing where none does.

    Parameters
    ----------
    rows : sequence of mapping
        With `label`, `is_reliable` and `note`.
    """
    failed = [row for row in rows if row.get("is_reliable") is False]
    if not failed:
        return []
    which = "; ".join(f"{row['label']}: {row.get('note') or 'no reason given'}" for row in failed)
    number = "1 row is" if len(failed) == 1 else f"{len(failed)} rows are"
    return [
        f"{number} not reliable, drawn with hollow markers, and without a say in whether the "
        f"conclusion moves. {which}."
    ]


def contrasts_note(context: Context) -> list[str]:
    """Say that a prior of the treatment is that of every contrast; nothing of two levels."""
    design = context.plan.inputs.design
    number = len(design.levels) - 1
    if number == 1:
        return []
    return [
        f"The treatment's prior is that of all {number} contrasts of {design.treatment} against "
        f"{design.levels[0]}: it is changed for all of them, and "
        f"{design.levels[context.level]} is what is looked at."
    ]


def side_of(row: Mapping[str, Any]) -> str:
    """On which side of 1 the hazard ratio lies more probably than not: "below" or "above"."""
    return "below" if row["prob_below_1"] >= 0.5 else "above"
