"""The command line: `bayes-crlm run`, `check`, `sensitivity` and `list`."""

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.docstrings import require_docstrings
from bayes_crlm.errors import BayesCRLMError, SpecError
from bayes_crlm.program import (
    INTERRUPTED,
    draw_with_agg,
    ended_by_signals,
    is_terminal,
    open_streams,
    require_working_folder,
    temporary_folder,
    writing,
)
from bayes_crlm.sensitivity.command import add_command, run_command
from bayes_crlm.terminal import (
    conclude,
    describe,
    describe_sensitivity,
    failures,
    flush_streams,
    on_one_line,
    ratios_in_words,
    say,
    shortest,
)

if TYPE_CHECKING:
    from bayes_crlm.analysis import Plan
    from bayes_crlm.engines import Approximation
    from bayes_crlm.spec import Spec

__all__ = ["main"]

DONE, BAD_INPUT, UNTRUSTWORTHY = 0, 2, 3


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> Any:
        """Say what is wrong with the arguments and leave with exit status 2."""
        self.exit(
            BAD_INPUT, f"{self.prog}: error: {on_one_line(message)} (see {self.prog} --help)\n"
        )


def whole_number(low: int, high: int) -> Any:
    """Make an argument type: a whole number within limits."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} must be a whole number from {low} to {high}"
            )
        return value

    return convert


def make_parser() -> argparse.ArgumentParser:
    """Build the command line's grammar."""
    parser = Parser(
        prog="bayes-crlm",
        description="Bayesian piecewise-exponential survival models for small cohorts: "
        "posterior hazard ratios, held against Cox regression.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    run = commands.add_parser(
        "run",
        help="fit, compare with Cox, diagnose, estimate, write the report",
        description="Fit a spec's model, compare it with Cox, diagnose it and write the results. "
        "Exit status: 0 done; 2 the spec, data or arguments are wrong; 3 results are written "
        "but a diagnostic says not to trust them.",
    )
    run.add_argument("spec", metavar="SPEC", help="a TOML file, or the name of one in models/")
    run.add_argument("--data", metavar="FILE", help="a file or data set instead of the spec's")
    run.add_argument("--out", metavar="DIR", help="result folder (default: results/<spec name>)")
    run.add_argument("--seed", type=whole_number(0, 2**32 - 1), metavar="N", help="random seed")
    run.add_argument("--engine", choices=["nuts", "laplace"], default="nuts", help="how to draw")
    run.add_argument("--draws", type=whole_number(1, 100_000), metavar="N", help="per chain")
    run.add_argument("--chains", type=whole_number(1, 64), metavar="N", help="number of chains")
    run.add_argument("--quiet", action="store_true", help="print errors only")
    check = commands.add_parser(
        "check",
        help="validate spec and data, say what would be fitted",
        description="Validate a spec and its data and say what would be fitted; nothing is.",
    )
    check.add_argument("spec", metavar="SPEC", help="a TOML file, or the name of one in models/")
    check.add_argument("--data", metavar="FILE", help="a file or data set instead of the spec's")
    add_command(commands, whole_number)
    commands.add_parser("list", help="the specs in models/ with their titles")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without it, those the program was called with.

    Returns
    -------
    int
        0 done and trustworthy, 2 wrong input, 3 results not to be trusted, 130 interrupted.
    """
    is_ours = arguments is None
    if is_ours:
        open_streams()
    with ended_by_signals(is_ours=is_ours):
        parser = make_parser()
        try:
            return run_command_line(parser, parser.parse_args(arguments))
        except BayesCRLMError as problem:
            say(f"bayes-crlm: error: {on_one_line(problem)}", stream=sys.stderr)
            return BAD_INPUT
        except KeyboardInterrupt:
            say("bayes-crlm: interrupted; nothing was written", stream=sys.stderr)
            return INTERRUPTED
        finally:
            flush_streams()


def run_command_line(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Do what the arguments ask for; gives the exit status."""
    if options.version:
        from bayes_crlm import __version__

        say(__version__)
        return DONE
    if options.command in ("run", "check", "sensitivity"):
        require_working_folder()
    if options.command == "run":
        return run(options)
    if options.command == "check":
        return check(options)
    if options.command == "sensitivity":
        return run_command(options)
    if options.command == "list":
        return list_specs()
    parser.error("give a command: run, check, sensitivity or list")
    return BAD_INPUT


def read_checked_spec(options: argparse.Namespace) -> "Spec":
    """Read the spec and put the command line's options into it."""
    from bayes_crlm.spec import read_spec

    if options.data is not None and not options.data.strip():
        raise SpecError(f"--data {options.data!r}: is no name of a file or data set; give one")
    try:
        spec = read_spec(options.spec)
    except SpecError as problem:
        from bayes_crlm.readable_spec import with_problems_of_data

        raise with_problems_of_data(problem, options) from None
    return spec.with_options(
        source=options.data,
        seed=getattr(options, "seed", None),
        draws=getattr(options, "draws", None),
        chains=getattr(options, "chains", None),
    )


def run(options: argparse.Namespace) -> int:
    """Do the main job."""
    began = time.perf_counter()
    from bayes_crlm.analysis import plan_analysis, run_analysis
    from bayes_crlm.results import check_output, write_results
    from bayes_crlm.summary import summarise

    spec = read_checked_spec(options)
    where = Path("results") / spec.name if options.out is None else options.out
    folder = check_output(where)
    require_docstrings()
    draw_with_agg()
    plan = plan_analysis(spec)
    seconds: dict[str, float | None] = {"plan": time.perf_counter() - began}
    if not options.quiet:
        say(describe(plan))
    approximation = None
    if options.engine == "laplace" or not options.quiet:
        approximation, seconds["first_answer"] = first_answer(plan, options, began)
    with warnings.catch_warnings(), temporary_folder(folder):
        # what a reader has to know is in the summary's warnings, in this package's words
        warnings.simplefilter("ignore")
        analysis = run_analysis(
            plan,
            progress=is_terminal(sys.stderr) and not options.quiet,
            engine=options.engine,
            approximation=approximation,
            seconds=seconds,
            began=began,
        )
        summary = summarise(analysis)
        with writing():
            report = write_results(analysis, summary, folder)
    if not options.quiet:
        say("\n" + conclude(summary))
        if summary["status"] != "ok" and seconds.get("first_answer") is not None:
            say("The first approximation above is withdrawn with the answers.")
        say(f"\nReport: {shortest(report)}  ({time.perf_counter() - began:.0f} s)")
    elif summary["status"] != "ok":
        say(
            f"bayes-crlm: do not trust these results: {on_one_line('; '.join(failures(summary)))}",
            stream=sys.stderr,
        )
    return DONE if summary["status"] == "ok" else UNTRUSTWORTHY


def first_answer(
    plan: "Plan", options: argparse.Namespace, began: float
) -> "tuple[Approximation | None, float | None]":
    """Print what can be said before the heavy packages are loaded.

    Returns
    -------
    Approximation or None
        The draws of engine laplace, which the results are made of; None for NUTS.
    float or None
        Seconds from the command's beginning to the printed hazard ratio; None without one.
    """
    from bayes_crlm.analysis import approximate_plan

    is_laplace, is_loud = options.engine == "laplace", not options.quiet
    sampling = plan.spec.sampling
    total = sampling.chains * sampling.draws
    if is_laplace and is_loud:
        say(f"\nDrawing {total:,} draws by importance sampling around the mode ...")
    approximation, ratios = approximate_plan(plan, options.engine)
    seconds = None
    if ratios and is_loud:
        say(ratios_in_words(plan, approximation, ratios, is_first=not is_laplace))
        seconds = time.perf_counter() - began
    if is_loud and is_laplace and ratios:
        say("\nDiagnosing these draws, comparing them with Cox, writing the results ...")
    elif is_loud:
        if is_laplace:
            say(f"{approximation.problem}: NUTS is used instead")
        say(f"\nSampling {sampling.chains} chains of {sampling.draws} draws ...")
    return (approximation if is_laplace else None), seconds


def check(options: argparse.Namespace) -> int:
    """Say what would be fitted."""
    from bayes_crlm.analysis import plan_analysis

    plan = plan_analysis(read_checked_spec(options))
    say(describe(plan))
    if plan.spec.sensitivity is not None:
        say("\n".join(describe_sensitivity(plan)))
    return DONE


def list_specs() -> int:
    """Print names and titles of the specs in models/."""
    from bayes_crlm.spec import available_specs

    specs = available_specs()
    width = max((len(name) for name, *_ in specs), default=0)
    for name, title, _ in specs:
        say(f"{name:{width}}  {title}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
