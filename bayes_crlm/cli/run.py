"""The command `run`: fit, compare with Cox, diagnose, estimate, write the report."""

import argparse
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

from bayes_crlm.cli.options import add_spec_and_data, read_checked_spec, result_folder, whole_number
from bayes_crlm.cli.program import (
    DONE,
    UNTRUSTWORTHY,
    is_terminal,
    require_working_folder,
    temporary_folder,
    writing,
)
from bayes_crlm.cli.terminal import (
    conclude,
    describe,
    on_one_line,
    ratios_in_words,
    say,
    shortest,
)
from bayes_crlm.words.shown import whole
from bayes_crlm.words.wording import count_of

if TYPE_CHECKING:
    from bayes_crlm.analysis.plan import Plan
    from bayes_crlm.fit.fitting import Approximation


def add_command(commands: Any) -> None:
    """Add the command to the command line's grammar."""
    parser = commands.add_parser(
        "run",
        help="fit, compare with Cox, diagnose, estimate, write the report",
        description="Fit a spec's model, compare it with Cox, diagnose it and write the results. "
        "Exit status: 0 done; 2 the spec, data or arguments are wrong; 3 results are written "
        "but a diagnostic says not to trust them.",
    )
    add_spec_and_data(parser)
    parser.add_argument("--out", metavar="DIR", help="result folder (default: results/<spec name>)")
    parser.add_argument("--seed", type=whole_number(0, 2**32 - 1), metavar="N", help="random seed")
    parser.add_argument("--engine", choices=["nuts", "laplace"], default="nuts", help="how to draw")
    parser.add_argument("--draws", type=whole_number(1, 100_000), metavar="N", help="per chain")
    parser.add_argument("--chains", type=whole_number(1, 64), metavar="N", help="number of chains")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.set_defaults(run_command=run_command, writes_results=True)


def run_command(options: argparse.Namespace) -> int:
    """Do the main job."""
    began = time.perf_counter()
    require_working_folder()
    from bayes_crlm.analysis.plan import plan_analysis
    from bayes_crlm.analysis.run import run_analysis
    from bayes_crlm.analysis.summary import summarise
    from bayes_crlm.report.run import write_results

    spec = read_checked_spec(options)
    folder = result_folder(options, spec)
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
        say("\n" + conclude(analysis))
        if summary["status"] != "ok" and seconds.get("first_answer") is not None:
            say("The first approximation above is withdrawn with the answers.")
        say(f"\nReport: {shortest(report)}  ({whole(time.perf_counter() - began)} s)")
    elif summary["status"] != "ok":
        say(
            f"bayes-crlm: do not trust these results: {on_one_line('; '.join(analysis.failures))}",
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
    from bayes_crlm.analysis.run import approximate_plan

    is_laplace, is_loud = options.engine == "laplace", not options.quiet
    sampling = plan.spec.sampling
    total = sampling.chains * sampling.draws
    if is_laplace and is_loud:
        say(f"\nDrawing {count_of(total, 'draw')} by importance sampling around the mode ...")
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
        chains = count_of(sampling.chains, "chain")
        say(f"\nSampling {chains} of {count_of(sampling.draws, 'draw')} ...")
    return (approximation if is_laplace else None), seconds
