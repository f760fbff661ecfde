"""The command `bayes-crlm sensitivity`."""

import argparse
import hashlib
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.cli.options import add_spec_and_data, read_checked_spec, result_folder, whole_number
from bayes_crlm.cli.program import DONE, FAULT, UNTRUSTWORTHY, require_working_folder
from bayes_crlm.sensitivity.registry import PARTS
from bayes_crlm.words.shown import whole

if TYPE_CHECKING:
    from bayes_crlm.analysis.plan import Plan

# bytes of a file's name, on the file systems in use
LONGEST_NAME = 255


def add_command(commands: Any) -> None:
    """Add the command to the command line's grammar."""
    parser = commands.add_parser(
        "sensitivity",
        help="refit under other choices, priors and biases: what would change the answer?",
        description="Run a spec's sensitivity analyses. Exit status: 0 done; 2 the spec, data or "
        "arguments are wrong; 3 results are written but a diagnostic says not to "
        "trust them; 1 an error in this program ended a part, the others are written. "
        "A run that was stopped goes on where it stopped when it is started again.",
    )
    add_spec_and_data(parser)
    parts = f"parts to run instead of the spec's: {', '.join(PARTS)}"
    parser.add_argument("--only", metavar="NAME,...", help=parts)
    parser.add_argument("--out", metavar="DIR", help="result folder (default: results/<spec name>)")
    parser.add_argument(
        "--jobs", type=whole_number(1, 1024), metavar="N", help="processes on this machine"
    )
    parser.add_argument(
        "--executor", metavar="URL", help="a Dask scheduler, tcp://HOST:PORT, instead of --jobs"
    )
    parser.add_argument("--seed", type=whole_number(0, 2**32 - 1), metavar="N", help="random seed")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.set_defaults(run_command=run_command, writes_results=True)


def run_command(options: argparse.Namespace) -> int:
    """Do what the command line asks for.

    Parameters
    ----------
    options : argparse.Namespace
        What the command line was given.

    Returns
    -------
    int
        Exit status.

    Raises
    ------
    BayesCRLMError
        One sentence; nothing was written.
    """
    began = time.perf_counter()
    require_working_folder()
    from bayes_crlm.analysis.plan import plan_analysis
    from bayes_crlm.cli.program import (
        at_interrupt,
        is_terminal,
        temporary_folder,
        writing,
    )
    from bayes_crlm.cli.terminal import describe, in_columns, say, shortest
    from bayes_crlm.sensitivity.settings import read_settings
    from bayes_crlm.tasks.dask_workers import check_executor
    from bayes_crlm.words.errors import BayesCRLMError, ExecutorError

    check_executor(options.executor, options.jobs)
    spec = read_checked_spec(options)
    settings = read_settings(spec.sensitivity, names_of(options.only))
    folder = result_folder(options, spec)
    plan = plan_analysis(spec)
    if not options.quiet:
        say(describe(plan))
        say("")
        say("\n".join(in_columns([("parts", ", ".join(settings.parts))])))
    from bayes_crlm.report.sensitivity import summarise_sensitivity, write_sensitivity
    from bayes_crlm.sensitivity.run import run_sensitivity

    store = store_of(folder)
    is_going_on = store.exists()

    def keep_store() -> str | None:
        """Keep finished refits for the next run when a signal ends this one; nothing else."""
        if has_results(store):
            return "finished refits are kept: the same command goes on"
        store.unlink(missing_ok=True)
        return None

    with warnings.catch_warnings(), temporary_folder(folder), at_interrupt(keep_store):
        # what a reader has to know is in the notes, in this package's words
        warnings.simplefilter("ignore")
        try:
            found = run_sensitivity(
                plan,
                settings,
                jobs=options.jobs,
                executor=options.executor,
                store=store,
                progress=is_terminal(sys.stderr) and not options.quiet,
                announce=None if options.quiet else lambda text: say(f"\n{text}"),
                warn=once_each(lambda text: say(f"bayes-crlm: {text}", stream=sys.stderr)),
                folder=folder,
            )
        except BayesCRLMError as problem:
            # refits are kept for a run that can go on: not for one that cannot be done as asked
            is_lost_worker = isinstance(problem, ExecutorError) and has_results(store)
            if not (is_going_on or is_lost_worker):
                store.unlink(missing_ok=True)
            raise
        except KeyboardInterrupt:
            kept = keep_store()
            if kept:
                say(kept, stream=sys.stderr)
            raise
        summary = summarise_sensitivity(found)
        with writing():
            report = write_sensitivity(found, summary, folder)
            if not found.crashes:
                store.unlink(missing_ok=True)
    if not options.quiet:
        say(f"\n{conclude(summary, plan)}")
        say(f"\nReport: {shortest(report)}  ({whole(time.perf_counter() - began)} s)")
    elif summary["status"] != "ok":
        problem = summary["warnings"][0]
        say(f"bayes-crlm: do not trust these results: {problem}", stream=sys.stderr)
    for crash in found.crashes.values():
        traceback.print_exception(crash)
    if found.crashes:
        return FAULT
    return DONE if summary["status"] == "ok" else UNTRUSTWORTHY


def once_each(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Say a sentence the first time only: every part opens the same store."""
    printed: set[str] = set()

    def tell_once(text: str) -> None:
        if text not in printed:
            printed.add(text)
            tell(text)

    return tell_once


def has_results(store: Path) -> bool:
    """Whether a file of finished refits holds any: a line after its first."""
    try:
        with store.open("rb") as file:
            return sum(1 for _ in file) > 1
    except OSError:
        return False


def names_of(only: str | None) -> list[str]:
    """Read the parts of `--only`."""
    from bayes_crlm.words.errors import SpecError

    if only is None:
        return []
    names = [name.strip() for name in only.split(",")]
    if not all(names):
        raise SpecError(f"--only {only!r}: give names of parts, separated by commas")
    return names


def store_of(folder: Path) -> Path:
    """Where finished refits are kept: beside the result folder, which is replaced as a whole."""
    name = f".{folder.name}.sensitivity-refits"
    if len(os.fsencode(name)) > LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(folder.name)).hexdigest()[:16]
        name = f".{digest}.sensitivity-refits"
    return folder.parent / name


def conclude(summary: dict[str, Any], plan: "Plan") -> str:
    """Say what changes the conclusion, what is not to be trusted first."""
    import textwrap

    from bayes_crlm.cli.terminal import cautions_first, in_columns, line_width

    failures = [] if summary["status"] == "ok" else summary["warnings"][:1]
    lines = cautions_first(failures, plan.inputs.cohort)
    lines += textwrap.wrap(summary["conclusion"]["sentence"], line_width())
    if summary["caution"]:
        lines += in_columns([("caution", summary["caution"])])
    return "\n".join(lines)
