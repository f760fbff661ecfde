"""One sensitivity analysis: the base model, then every part that is asked for."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.analysis.provenance import provenance
from bayes_crlm.sensitivity.earlier_run import base_of_run, fit_of_run, start_of_run
from bayes_crlm.sensitivity.parts import Context, Finding
from bayes_crlm.sensitivity.refit import Shared, refit
from bayes_crlm.sensitivity.registry import part_module
from bayes_crlm.sensitivity.verdicts import Judge, listed
from bayes_crlm.tasks.calls import every_library_on_one_thread
from bayes_crlm.tasks.run import Task, TaskResult, run_tasks
from bayes_crlm.words.errors import (
    BayesCRLMError,
    ExecutorError,
    OutputError,
    SensitivityError,
    SpecError,
)
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import did_you_mean, shown

if TYPE_CHECKING:
    from bayes_crlm.analysis.plan import Plan
    from bayes_crlm.fit.fit import Fit
    from bayes_crlm.sensitivity.settings import SensitivitySettings

BASE_DRAWS = 4000
# so few refits are done before other processes have started, but for those of some parts
FEW_TASKS = 16
SLOW_PARTS = ("missing_data",)
NO_ANSWER = "done; no answer that could change"
# what is not a question where treatment was drawn by lot: in a randomised study ...
SETTLED_BY_LOT = {
    "unmeasured_confounding": "no confounder decides on treatment",
    "overlap": "no covariate decides on treatment",
    "immortal_time": "nobody has to survive to be counted as treated",
}


@record
class Sensitivity:
    """A finished sensitivity analysis.

    Attributes
    ----------
    plan : Plan
        The spec with its cohort, ready to be fitted.
    settings : SensitivitySettings
        The checked tables of `[sensitivity]`.
    base : dict
        The base analysis; see `bayes_crlm.sensitivity.refit.refit`.
    level : int
        Place of the treatment level in question, from 1.
    parts : dict of str to Finding
        What was run.
    not_run : dict of str to str
        Why other parts were not.
    crashes : dict of str to Exception
        Faults of this package that ended a part; the others are whole.
    provenance : dict
        Versions, times and digests of the run.
    """

    plan: "Plan"
    settings: "SensitivitySettings"
    base: dict[str, Any]
    level: int
    parts: dict[str, Finding]
    not_run: dict[str, str]
    crashes: dict[str, Exception]
    provenance: dict[str, Any]

    @property
    def judge(self) -> Judge:
        """The base analysis and the spec's success rule."""
        return Judge(self.base, self.plan.spec.success.rule)

    @property
    def withdrawn(self) -> str | None:
        """Why the base analysis has no answer that could change; None where it has one."""
        return withdrawn_base(self.plan, self.base, self.level)


def withdrawn_base(plan: "Plan", base: dict[str, Any], level: int) -> str | None:
    """Say why the base model has no answer: its diagnostic fails, or a level has no events."""
    from bayes_crlm.model.withdrawn import withdrawal

    failures = () if base["is_reliable"] else (str(base["note"]),)
    return withdrawal(plan.inputs, failures, (level, 0))


@record
class Runner:
    """Runs tasks with what the command line says of workers.

    Attributes
    ----------
    shared : Shared
        What all refits of the part need.
    jobs : int or None
        Processes on this machine; None for one a CPU.
    executor : str or None
        Address of a Dask scheduler; None for this machine.
    store : Path or None
        Where finished refits are kept.
    progress : bool
        Whether the terminal shows how far it is.
    warn : callable or None
        Told what of the store cannot be used.
    """

    shared: Shared
    jobs: int | None
    executor: str | None
    store: Path | None
    progress: bool
    warn: Callable[[str], None] | None = None

    def __call__(self, name: str, tasks: Sequence[Task]) -> list[TaskResult]:
        """Run the tasks of one part, under its name."""
        jobs = self.jobs
        is_soon_done = len(tasks) <= FEW_TASKS and name not in SLOW_PARTS
        if jobs is None and self.executor is None and is_soon_done:
            jobs = 1
        return run_tasks(
            tasks,
            jobs=jobs,
            executor=self.executor,
            store=self.store,
            progress=name if self.progress else False,
            shared=self.shared,
            announce=self.warn,
        )


def treatment_level(plan: "Plan", level: Any) -> int:
    """Find the treatment level whose hazard ratio is the question.

    Parameters
    ----------
    plan : Plan
        The spec with its cohort, ready to be fitted.
    level : str, int, float, bool or None
        None for the first that is not the reference.

    Raises
    ------
    SpecError
        When there is no such level, or it is the reference.
    """
    levels = list(plan.inputs.design.levels)
    if level is None:
        return 1
    places = [place for place, each in enumerate(levels) if each == level and place > 0]
    if not places:
        raise SpecError(
            f"sensitivity.level {shown(level)} is not a level of {plan.inputs.design.treatment} "
            f"against {shown(levels[0])}; {did_you_mean(level, levels[1:])}"
        )
    return places[0]


def check_parts(plan: "Plan", settings: "SensitivitySettings") -> dict[str, str]:
    """Find parts that cannot be run, before anything is.

    Parameters
    ----------
    plan : Plan
        The spec with its cohort, ready to be fitted.
    settings : SensitivitySettings
        The checked tables of `[sensitivity]`.

    Returns
    -------
    dict of str to str
        Reasons by the name of a part that nobody asked for by name.

    Raises
    ------
    BayesCRLMError
        When it was asked for.
    """
    is_randomised = plan.spec.study.design == "randomised"
    settled = [name for name in settings.parts if is_randomised and name in SETTLED_BY_LOT]
    refused = [name for name in settled if name in settings.asked]
    if refused:
        raise SensitivityError(settled_by_lot(refused))
    reasons = {}
    for name in settings.parts:
        if name in settled:
            reasons[name] = settled_by_lot([name])
            continue
        try:
            check = getattr(part_module(name), "check", None)
            if check is not None:
                check(plan, settings.tables[name])
        except BayesCRLMError as problem:
            if name in settings.asked:
                raise
            reasons[name] = str(problem)
    return reasons


def settled_by_lot(names: Sequence[str]) -> str:
    """Say that parts ask what a drawn lot has answered."""
    does, them = ("does", "it") if len(names) == 1 else ("do", "them")
    return (
        f"{listed(names)} {does} not apply: in a randomised study "
        f"{listed([SETTLED_BY_LOT[name] for name in names])}, as study.design = 'randomised' says; "
        f"leave {them} out, or say study.design = 'observational'"
    )


@every_library_on_one_thread()
def run_sensitivity(
    plan: "Plan",
    settings: "SensitivitySettings",
    *,
    jobs: int | None = None,
    executor: str | None = None,
    store: Path | None = None,
    progress: bool = False,
    announce: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    folder: Path | None = None,
) -> Sensitivity:
    """Fit the base model and run every part that is asked for.

    Parameters
    ----------
    plan : Plan
        From `bayes_crlm.analysis.plan.plan_analysis`.
    settings : SensitivitySettings
        From `bayes_crlm.sensitivity.settings.read_settings`.
    jobs : int, optional
        Processes on this machine; one for each CPU without it.
    executor : str, optional
        Address of a Dask scheduler, whose workers are used instead.
    store : Path, optional
        File of finished refits, from which a stopped run goes on.
    progress : bool
        Show progress bars on a terminal.
    announce : callable, optional
        Told the base result and each part's sentence when it is there.
    warn : callable, optional
        Told what of the store cannot be used and is computed again; warnings without it.
    folder : Path, optional
        Where results go: a `run` of the same spec, data, seed and version there is the base.

    Returns
    -------
    Sensitivity

    Raises
    ------
    BayesCRLMError
        When a part that was asked for by name cannot be run, or workers fail.
    """
    began, started = time.perf_counter(), datetime.now(UTC)
    level = treatment_level(plan, settings.level)
    not_run = check_parts(plan, settings)
    say = announce or (lambda text: None)
    for name in settings.parts:
        if name in not_run:
            say(f"{name}: not run: {not_run[name]}")
    run = Runner(Shared.of(plan, level), jobs, executor, store, progress, warn)
    context = base_context(plan, settings, level, run, folder)
    seconds = {"base": time.perf_counter() - began}
    is_withdrawn = withdrawn_base(plan, context.base, level) is not None
    parts: dict[str, Finding] = {}
    crashes: dict[str, Exception] = {}
    for name in settings.parts:
        if name in not_run:
            continue
        part_began = time.perf_counter()
        try:
            parts[name] = part_module(name).analyse(context, settings.tables[name])
            say(f"{name}: {NO_ANSWER if is_withdrawn else parts[name].sentence}")
        except (ExecutorError, OutputError):
            raise
        except BayesCRLMError as problem:
            if name in settings.asked:
                raise
            not_run[name] = str(problem)
            say(f"{name}: not run: {problem}")
        except Exception as crash:
            # minutes of refits of the other parts must not be lost to a fault in this one
            crashes[name] = crash
            not_run[name] = (
                f"failed because of an error in this package ({type(crash).__name__}: {crash})"
            )
            say(f"{name}: {not_run[name]}")
        seconds[name] = time.perf_counter() - part_began
    return Sensitivity(
        plan=plan,
        settings=settings,
        base=context.base,
        level=level,
        parts=parts,
        not_run={name: not_run[name] for name in settings.parts if name in not_run},
        crashes=crashes,
        provenance=provenance(
            context.seed, started, seconds | {"total": time.perf_counter() - began}
        ),
    )


def base_context(
    plan: "Plan", settings: "SensitivitySettings", level: int, run: Runner, folder: Path | None
) -> Context:
    """Take the base analysis from a run in the result folder, or fit it.

    Raises
    ------
    SpecError
        When it cannot be fitted.
    """
    seed = plan.spec.sampling.seed
    base = None if folder is None else base_of_run(folder, plan, level)
    if base is None:
        (result,) = run("base", [Task("base", refit, {"seed": seed, "draws": BASE_DRAWS})])
        if result.value is None:
            raise SpecError(f"the base analysis cannot be fitted: {result.failure}")
        base = result.value
    # of the run whose answer the base is; None where the base was fitted here
    of_run = folder if base.get("is_of_run") else None

    def make_fit() -> "Fit":
        found = None if of_run is None else fit_of_run(of_run, plan, base, level)
        return found or fit_base(plan)

    start = None if of_run is None else start_of_run(of_run)
    return Context(plan, base, make_fit, level, seed, run, settings.selected, start)


def fit_base(plan: "Plan") -> "Fit":
    """Fit the base model with all its draws: importance sampling, or NUTS where that fails."""
    from bayes_crlm.fit.fit import fit_model

    sampling, asked = plan.spec.sampling.model_dump(), plan.spec.estimands
    fit = fit_model(plan.model, plan.inputs, **sampling, engine="laplace")
    return fit.estimating(origin=asked.origin, population=asked.population)
