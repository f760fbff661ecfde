"""What every part of a sensitivity analysis is given, and what it gives back.

A part is a module with `Settings`, the table `[sensitivity.<part>]` of a spec, and
`analyse(context, settings)`, which gives a `Finding`. It may have `check(plan, settings)`, which
refuses, before anything is run, what the cohort or the settings do not allow. Modules are imported
when they are needed.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar

from bayes_crlm.figures.comparisons import plot_forest_rows
from bayes_crlm.model.late_start import waited
from bayes_crlm.sensitivity.registry import TITLES
from bayes_crlm.sensitivity.verdicts import Judge, Values, Verdict, failing
from bayes_crlm.specification.table import Table
from bayes_crlm.tasks.run import Task, TaskResult
from bayes_crlm.words.errors import BayesCRLMError, SensitivityError
from bayes_crlm.words.records import record
from bayes_crlm.words.section import Figure, Note, Rows, Section
from bayes_crlm.words.success import SuccessRule

if TYPE_CHECKING:
    from bayes_crlm.analysis.plan import Plan
    from bayes_crlm.fit.fit import Fit

NOT_JUDGED = Verdict()
# of a row: what a calibration of weights found, and diagnostics of chains
NESTED = ("calibration", "chains")


@record
class Variant:
    """One refit that a part asks for.

    Attributes
    ----------
    label : str
        What a reader calls it.
    arguments : mapping
        Of its task, beside those that all tasks of the part have.
    row : mapping
        Columns of its row that say what it is of.
    """

    label: str
    arguments: Mapping[str, Any]
    row: Mapping[str, Any] = field(default_factory=dict)


@record
class Context:
    """What a part knows of the analysis.

    Attributes
    ----------
    plan : Plan
        Spec, model and cohort of the base analysis.
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

    @property
    def judge(self) -> Judge:
        """The base analysis and that rule."""
        return Judge(self.base, self.rule)

    @cached_property
    def fit(self) -> "Fit":
        """The base model's posterior with all its draws."""
        return self.make_fit()

    def run_calls(
        self,
        part: str,
        function: Callable[..., Any],
        calls: Sequence[tuple[str, Values]],
        **settled: Any,
    ) -> list[TaskResult]:
        """Run a part's tasks, with the seed; results are in the order of the calls.

        Parameters
        ----------
        part : str
            Its name.
        function : callable
            What a task calls.
        calls : sequence of (str, mapping)
            What a reader calls a task, and the arguments that are its own.
        **settled
            Arguments of every task.
        """
        every = {**settled, "seed": self.seed}
        return self.run(
            part, [Task(f"{part}: {name}", function, {**own, **every}) for name, own in calls]
        )

    def run_one(self, part: str, function: Callable[..., Any], **arguments: Any) -> Any:
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

    def refit_variants(
        self,
        part: str,
        function: Callable[..., Any],
        variants: Sequence[Variant],
        **settled: Any,
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Run a part's refits, a task each; those that fail are named.

        Parameters
        ----------
        part, function, **settled
            As of `run_calls`.
        variants : sequence of Variant
            What is refitted.

        Returns
        -------
        rows : list of dict
            Of the refits that did not fail: their own columns, then what was found.
        failures : list of str
            Labels of the others, with the reason.

        Raises
        ------
        SensitivityError
            When every refit failed.
        """
        calls = [(each.label, each.arguments) for each in variants]
        rows, failures = [], []
        for each, done in zip(
            variants, self.run_calls(part, function, calls, **settled), strict=True
        ):
            if done.value is None:
                failures.append(f"{each.label}: {done.failure}")
            else:
                rows.append(dict(each.row) | done.value)
        if not rows:
            raise SensitivityError(f"sensitivity.{part}: {failures[0]}")
        return rows, failures

    def refit_changes(
        self, part: str, changes: Sequence[tuple[str, Values]], **settled: Any
    ) -> list[dict[str, Any]]:
        """Refit the base model under changes, by one task for all of one name.

        Parameters
        ----------
        part, **settled
            As of `run_calls`.
        changes : sequence of (str, mapping)
            Name of the task, and what `bayes_crlm.sensitivity.refit.changed_inputs` takes.

        Returns
        -------
        list of dict
            In the order of the changes, as `bayes_crlm.sensitivity.refit.refit_each` gives them.
        """
        from bayes_crlm.sensitivity.refit import refit_each

        groups: dict[str, list[Values]] = {}
        for name, change in changes:
            groups.setdefault(name, []).append(change)
        calls = [(name, {"changes": each}) for name, each in groups.items()]
        done = self.run_calls(part, refit_each, calls, **settled)
        found: dict[str, Iterator[dict[str, Any]]] = {}
        for name, each in zip(groups, done, strict=True):
            failed = repeat({"failure": each.failure})
            found[name] = failed if each.value is None else iter(each.value["rows"])
        return [next(found[name]) for name, _ in changes]

    def headline_note(self, what: str) -> list[str]:
        """Say that numbers are not about the headline answer; nothing where that is as treated.

        Parameters
        ----------
        what : str
            Which numbers, with their verb.
        """
        waits = waited(self.plan.inputs).any()
        if not waits or (self.start or {}).get("headline") == "as_treated":
            return []
        return [
            f"{what} about the analysis as treated from time zero on, the wait for treatment "
            "included, not about the headline answer, in which that wait is not treatment."
        ]

    def contrasts_note(self) -> list[str]:
        """Say that a prior of the treatment is that of every contrast; nothing of two levels."""
        design = self.plan.inputs.design
        number = len(design.levels) - 1
        if number == 1:
            return []
        every = "both" if number == 2 else f"all {number}"
        return [
            f"The treatment's prior is that of {every} contrasts of {design.treatment} "
            f"against {design.levels[0]}: it is changed for each of them, and "
            f"{design.levels[self.level]} is the level examined."
        ]

    def interval_note(self) -> list[str]:
        """Say how the 95% interval and the success rule differ; nothing where they are the same."""
        if self.rule == SuccessRule():
            return []
        return [
            "This part uses the 95% interval, which excludes 1 where one side of 1 has a "
            f"probability of 0.975. {self.rule.in_words()}"
        ]


@record
class Finding(Section):
    """What a part found: a section, and what it does to the conclusion of the base analysis.

    The verdict is the worst state of the refits that count: "holds", "weaker" or "changes"
    (`bayes_crlm.sensitivity.verdicts`); None where nothing is judged.

    Attributes
    ----------
    result : mapping
        What stands under the part's name in `sensitivity.json`: plain values, arrays, tuples.
    moves : bool or None
        Whether it changes the conclusion; None where that is not the part's question, or no refit
        passes its diagnostics.
    movers : tuple of mapping
        The refits that do not hold, the farthest first.
    would_move : str or None
        What of a wider grid, of combinations, or of beliefs that nobody stated would change a
        conclusion that holds otherwise.
    before : str
        What has to be said before the conclusion of the whole; nothing as a rule.
    """

    result: Mapping[str, Any] | None = None
    moves: bool | None = None
    movers: tuple[Mapping[str, Any], ...] = ()
    would_move: str | None = None
    before: str = ""

    def put_into(self, summary: dict[str, Any]) -> None:
        """Add what was found to `sensitivity.json`, under the part's name."""
        about = {
            "status": "done",
            "sentence": self.sentence,
            "moves": self.moves,
            "state": self.verdict,
            "movers": list(self.movers),
            "notes": [note.text for note in self.notes],
        }
        super().put_into(summary)
        summary[self.key] = about | dict(self.result or {})


def finding(
    key: str,
    sentence: str,
    judged: Verdict = NOT_JUDGED,
    *,
    result: Values | None = None,
    rows: Sequence[Rows] = (),
    figures: Sequence[Figure] = (),
    notes: Sequence[str] = (),
    would_move: str | None = None,
    before: str = "",
) -> Finding:
    """Put together what a part found.

    Parameters
    ----------
    key : str
        The part's name.
    sentence : str
        What the part says, for a reader in a hurry.
    judged : Verdict
        From `bayes_crlm.sensitivity.verdicts.Judge.verdict`.
    result, would_move, before
        As of `Finding`.
    rows : sequence of Rows
        Tables, whose names begin with the part's.
    figures : sequence of Figure
        Likewise.
    notes : sequence of str
        What a reader should know of how the numbers came about.
    """
    return Finding(
        key=key,
        title=TITLES[key],
        sentence=sentence,
        verdict=judged.state,
        rows=tuple(rows),
        figures=tuple(figures),
        notes=tuple(Note(text) for text in notes),
        result=result,
        moves=judged.moves,
        movers=judged.movers,
        would_move=would_move,
        before=before,
    )


class Beliefs(Table):
    """A part's table that holds beliefs, which count only where the spec states one of them."""

    BELIEFS: ClassVar[tuple[str, ...]] = ()
    """Their keys."""

    @property
    def is_stated(self) -> bool:
        """Whether the spec states any."""
        return bool(self.model_fields_set & set(self.BELIEFS))


@contextmanager
def naming(where: str) -> Generator[None]:
    """Put the key of a spec before what is wrong with it.

    Raises
    ------
    SensitivityError
        In the place of any error that says what is wrong.
    """
    try:
        yield
    except BayesCRLMError as problem:
        raise SensitivityError(f"{where}: {problem}") from None


def rows_of(name: str, rows: Sequence[Values], first: Sequence[str] = ()) -> Rows:
    """Make a table of rows, some columns in front; what `NESTED` holds is columns too.

    Parameters
    ----------
    name : str
        Of its file.
    rows : sequence of mapping
        What is nested, where it is there, is numbers by name, or None.
    first : sequence of str
        Columns that say what a row is of; those that are not there are left out.
    """
    flat = []
    for row in rows:
        own = {key: value for key, value in row.items() if key not in NESTED}
        flat.append({key: row[key] for key in first if key in row} | own)
        for key in NESTED:
            flat[-1] |= row.get(key) or {}
    return Rows(name, flat)


def forest(name: str, caption: str, rows: Sequence[Values], labels: Sequence[str] = ()) -> Figure:
    """Make a figure of hazard ratios beneath each other; see `plot_forest_rows`."""
    return Figure(name, caption, plot_forest_rows, {"rows": rows, "labels": labels})


def unreliable_note(rows: Sequence[Values]) -> list[str]:
    """Say which rows fail their diagnostics, and that they do not count; nothing where none does.

    Parameters
    ----------
    rows : sequence of mapping
        With `label`, `is_reliable` and `note`.
    """
    failed = [row for row in rows if row.get("is_reliable") is False]
    if not failed:
        return []
    which = "; ".join(f"{row['label']}: {row.get('note') or 'no reason given'}" for row in failed)
    return [f"{failing(len(failed), 'row')}; figures show such rows with hollow markers. {which}."]
