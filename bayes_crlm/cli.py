"""The command line: `bayes-crlm run`, `check`, `sensitivity` and `list`."""

import argparse
import os
import sys
import textwrap
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bayes_crlm.errors import BayesCRLMError, SpecError
from bayes_crlm.sensitivity.command import add_command, run_command

if TYPE_CHECKING:
    from bayes_crlm.analysis import Plan
    from bayes_crlm.engines import Approximation, HazardRatio
    from bayes_crlm.spec import Spec

__all__ = ["main"]

SYNTHETIC = "synthetic, not patient data"
LINE_WIDTH = 98
DONE, BAD_INPUT, UNTRUSTWORTHY, INTERRUPTED = 0, 2, 3, 130


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> Any:
        """Say what is wrong with the arguments and leave with exit status 2."""
        self.exit(
            BAD_INPUT, f"{self.prog}: error: {on_one_line(message)} (see {self.prog} --help)\n"
        )


def on_one_line(text: object) -> str:
    """Put a message on one line, without characters that would steer a terminal."""
    words = " ".join(str(text).split())
    return "".join(each if each.isprintable() else "?" for each in words)


def say(text: str, *, stream: TextIO | None = None) -> None:
    """Print lines for people; a pipe that nobody reads any more is no error of ours.

    Names from files may hold characters that steer a terminal, or that its encoding lacks;
    they are shown as question marks or escapes.
    """
    stream = sys.stdout if stream is None else stream
    text = "".join(each if each.isprintable() or each == "\n" else "?" for each in text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, errors="backslashreplace").decode(encoding)
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        # Python flushes the standard streams once more when it ends
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


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
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        if options.version:
            from bayes_crlm import __version__

            say(__version__)
            return DONE
        if options.command == "run":
            return run(options)
        if options.command == "check":
            return check(options)
        if options.command == "sensitivity":
            return run_command(options)
        if options.command == "list":
            return list_specs()
        parser.error("give a command: run, check, sensitivity or list")
    except BayesCRLMError as problem:
        say(f"bayes-crlm: error: {on_one_line(problem)}", stream=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        say("bayes-crlm: interrupted; nothing was written", stream=sys.stderr)
        return INTERRUPTED
    return DONE


def read_checked_spec(options: argparse.Namespace) -> "Spec":
    """Read the spec and put the command line's options into it."""
    from bayes_crlm.spec import read_spec

    if options.data is not None and not options.data.strip():
        raise SpecError(f"--data {options.data!r}: is no name of a file or data set; give one")
    return read_spec(options.spec).with_options(
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
    plan = plan_analysis(spec)
    seconds: dict[str, float | None] = {"plan": time.perf_counter() - began}
    if not options.quiet:
        say(describe(plan))
    approximation = None
    if options.engine == "laplace" or not options.quiet:
        approximation, seconds["first_answer"] = first_answer(plan, options, began)
    show_progress = sys.stderr.isatty() and not options.quiet
    # figures are files here, also where a screen is there to open windows on
    os.environ.setdefault("MPLBACKEND", "svg")
    with warnings.catch_warnings():
        # what a reader has to know is in the summary's warnings, in this package's words
        warnings.simplefilter("ignore")
        analysis = run_analysis(
            plan,
            progress=show_progress,
            engine=options.engine,
            approximation=approximation,
            seconds=seconds,
            began=began,
        )
        summary = summarise(analysis)
        report = write_results(analysis, summary, folder)
    if not options.quiet:
        say("\n" + conclude(summary))
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


def ratios_in_words(
    plan: "Plan",
    approximation: "Approximation",
    ratios: "Sequence[HazardRatio]",
    *,
    is_first: bool,
) -> str:
    """Say hazard ratios of an approximation, and what it is worth.

    Parameters
    ----------
    plan : Plan
        What was approximated.
    approximation, ratios
        From `bayes_crlm.analysis.approximate_plan`, with draws.
    is_first : bool
        Whether NUTS follows, and has the last word.
    """
    design, drawn = plan.inputs.design, approximation.drawn
    lines = ["\nFirst approximation (laplace); NUTS follows"] if is_first else []
    about = "about " if is_first else ""
    for ratio in ratios:
        lines.append(f"{design.treatment} {ratio.treatment} against {design.reference}")
        interval = ratio_in_words(ratio.median, (ratio.low, ratio.high))
        lines += in_columns([("Bayes", f"hazard ratio {about}{interval}")])
    if drawn is not None:
        weights = f"Pareto k {drawn.pareto_k:.2f}, importance ESS {drawn.ess:,.0f}"
        lines += in_columns([("weights", f"{weights} of {len(drawn.vectors):,} draws")])
    return "\n".join(lines)


def failures(summary: dict[str, Any]) -> list[str]:
    """List the diagnostics that say not to trust the results."""
    return summary["diagnostics"]["failures"]


def shortest(path: Path) -> str:
    """Write a path from the working folder where it lies in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)


def check(options: argparse.Namespace) -> int:
    """Say what would be fitted."""
    from bayes_crlm.analysis import plan_analysis

    plan = plan_analysis(read_checked_spec(options))
    say(describe(plan))
    if plan.spec.sensitivity is not None:
        say("\n".join(describe_sensitivity(plan)))
    return DONE


def describe_sensitivity(plan: "Plan") -> list[str]:
    """Say which sensitivity analyses the spec asks for, and which cannot be run.

    Raises
    ------
    BayesCRLMError
        When one that it asks for by name cannot.
    """
    from bayes_crlm.sensitivity.analysis import check_parts, treatment_level
    from bayes_crlm.sensitivity.settings import read_settings

    settings = read_settings(plan.spec.sensitivity)
    treatment_level(plan, settings.level)
    not_run = check_parts(plan, settings)
    parts = [name for name in settings.parts if name not in not_run]
    return in_columns(
        [
            ("sensitivity", ", ".join(parts)),
            *(("", f"not run: {name}: {reason}") for name, reason in not_run.items()),
        ]
    )


def list_specs() -> int:
    """Print names and titles of the specs in models/."""
    from bayes_crlm.spec import available_specs

    specs = available_specs()
    width = max((len(name) for name, *_ in specs), default=0)
    for name, title, _ in specs:
        say(f"{name:{width}}  {title}")
    return DONE


def describe(plan: "Plan") -> str:
    """Say in a few lines what a plan fits.

    Parameters
    ----------
    plan : Plan
        A checked plan.

    Returns
    -------
    str
        The title, then one item a line, in a column of names and a column of values.
    """
    inputs, cohort = plan.inputs, plan.inputs.cohort
    unit = cohort.unit or "time units"
    intervals, design = inputs.intervals, inputs.design
    levels = " and ".join(str(level) for level in design.levels[1:])
    rows = "" if inputs.has_row_per_patient else f" in {cohort.n_rows} rows"
    ends = ", ".join(f"{value:.4g}" for value in intervals.cutpoints[1:])
    events = ", ".join(str(count) for count in intervals.events)
    prior = f"treatment {inputs.treatment_prior.describe()}"
    if inputs.n_covariate_terms:
        prior += f"; covariates {inputs.covariate_prior.describe()}"
    items = [
        ("data", source_in_words(plan)),
        (
            "follow-up",
            f"{cohort.n_patients} patients{rows}, {cohort.n_events} events, "
            f"{cohort.exposure:,.6g} {unit} at risk",
        ),
        ("treatment", f"{design.treatment}: {levels}, against {design.reference}"),
        ("formula", design.formula),
        ("intervals", f"{intervals.n_intervals}, ending at {ends} {unit}"),
        ("events", f"{events} in these intervals"),
        ("priors", f"{prior} (log hazard ratios)"),
        ("baseline", inputs.baseline.describe()),
        *(("note", warning) for warning in plan.warnings if warning != SYNTHETIC),
    ]
    return "\n".join([plan.spec.title, *in_columns(items)])


def source_in_words(plan: "Plan") -> str:
    """Name the data as the spec does, and say when they are synthetic."""
    from bayes_crlm.wording import shown_name

    source = shown_name(plan.inputs.cohort.source)
    return f"{source} ({SYNTHETIC})" if plan.inputs.cohort.is_synthetic else source


def in_columns(items: Sequence[tuple[str, str]]) -> list[str]:
    """Set names and values in two columns; long values go on under their beginning."""
    lines = []
    for name, value in items:
        lines += textwrap.wrap(
            " ".join(value.split()),
            width=LINE_WIDTH,
            initial_indent=f"  {name:<12}",
            subsequent_indent=" " * 14,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def conclude(summary: dict[str, Any]) -> str:
    """Say the result in a few lines, what is not to be trusted first.

    Parameters
    ----------
    summary : dict
        From `bayes_crlm.summary.summarise`.

    Returns
    -------
    str
        A hazard ratio with its interval for every treatment level, Cox's below it.
    """
    from bayes_crlm.report import probability_in_words

    lines = []
    if summary["status"] != "ok":
        lines += ["DO NOT TRUST THESE RESULTS", *in_columns([("", f) for f in failures(summary)])]
    if summary["data"]["synthetic"]:
        lines.append(f"{SYNTHETIC.capitalize()}: no clinical conclusion may be drawn.")
    cox = {term["term"]: term for term in summary["cox"]["terms"]}
    verdicts = {row["term"]: row for row in summary["agreement"]}
    for row in summary["hazard_ratios"]:
        lower = probability_in_words(row["prob_below"].get("1.0"), row["ess_bulk"] or 10)
        items = [
            (
                "Bayes",
                f"hazard ratio {ratio_in_words(row['median'], row['eti95'])}"
                + (f", P(hazard is lower) {lower}" if "1.0" in row["prob_below"] else ""),
            )
        ]
        baseline = cox.get(row["term"])
        if baseline is not None:
            ratio = ratio_in_words(baseline["hazard_ratio"], baseline["ci95"])
            items.append(("Cox", f"hazard ratio {ratio}"))
        verdict = verdicts.get(row["term"])
        # draws that are not to be trusted differ from Cox for no reason of the model's
        is_trusted = summary["status"] == "ok"
        if is_trusted and verdict is not None and verdict["verdict"] == "differ":
            items.append(("", f"they differ: {verdict['reason']}"))
        lines.append(
            f"{summary['model']['treatment']} {row['treatment']} against {row['reference']}"
        )
        lines += in_columns(items)
    others = [
        row["term"]
        for row in summary["agreement"]
        if row["verdict"] == "differ"
        and row["term"] not in {r["term"] for r in summary["hazard_ratios"]}
    ]
    if others and summary["status"] == "ok":
        lines += in_columns([("note", f"covariates that differ from Cox: {', '.join(others)}")])
    return "\n".join(lines)


def ratio_in_words(ratio: float | None, limits: Sequence[float | None] | None) -> str:
    """Write a ratio with its limits; "not estimable" where there is none."""
    if ratio is None:
        return "not estimable"
    low, high = ("-" if each is None else f"{each:.2f}" for each in limits or (None, None))
    return f"{ratio:.2f} (95% interval {low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
