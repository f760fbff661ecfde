"""What every part of a sensitivity analysis is given, and what it gives back.

A part is a module with `Settings`, the table `[sensitivity.<part>]` of a spec, and
`analyse(context, settings)`. It may have `check(plan, settings)`, which refuses, before anything
is run, what the cohort or the settings do not allow. Modules are imported when they are needed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bayes_crlm.tasks.run import Task, TaskResult
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.success import SuccessRule

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from bayes_crlm.analysis.run import Plan
    from bayes_crlm.fit.fit import Fit

__all__ = [
    "Context",
    "PartResult",
    "contrasts_note",
    "interval_note",
    "unreliable_note",
]


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
    selected : frozenset of str
        Parts that the user picks by name from all there are.
    start : mapping or None
        Where the base is that of a `run`: what it found of the start of treatment.
    """

    plan: "Plan"
    base: dict[str, Any]
    make_fit: Callable[[], "Fit"]
    level: int
    seed: int
    run: Callable[[str, Sequence[Task]], list[TaskResult]]
    selected: frozenset[str] = frozenset()
    start: Mapping[str, Any] | None = None

    @property
    def rule(self) -> SuccessRule:
        """The spec's success rule, by which every part concludes."""
        return self.plan.spec.success.rule

    @cached_property
    def fit(self) -> "Fit":
        """The base model's posterior with all its draws."""
        return self.make_fit()

    def one(self, part: str, function: Callable[..., Any], **arguments: Any) -> Any:
        """Run the single task of a part, with the seed, and give what it found.

        Raises
        ------
        SensitivityError
            When the task failed.
        """
        (done,) = self.run(part, [Task(part, function, arguments | {"seed": self.seed})])
        if done.value is None:
            raise SensitivityError(f"sensitivity.{part}: {done.failure}")
        return done.value


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
    state : {"holds", "weaker", "changes"} or None
        The worst state of the refits that count (`bayes_crlm.sensitivity.verdicts`).
    movers : tuple of mapping
        The refits that do not hold, the farthest first.
    would_move : str or None
        What of a wider grid, of combinations, or of beliefs that nobody stated would turn a
        conclusion that holds otherwise.
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
    state: str | None = None
    movers: tuple[Mapping[str, Any], ...] = ()


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
        f"{number} not reliable, drawn with hollow markers, and not counted in whether the "
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


def interval_note(rule: SuccessRule) -> list[str]:
    """Say how the 95% interval and the success rule differ; nothing where they are the same."""
    if rule == SuccessRule():
        return []
    return [
        f"This part goes by the 95% interval, which excludes 1 where one side of 1 has a "
        f"probability of 0.975. {rule.in_words()}"
    ]
