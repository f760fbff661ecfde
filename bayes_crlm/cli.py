"""The command line: `bayes-crlm run`, `check` and `list`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.errors import BayesCRLMError

if TYPE_CHECKING:
    from bayes_crlm.analysis import Plan
    from bayes_crlm.spec import Spec

__all__ = ["main"]

DONE, BAD_INPUT, UNTRUSTWORTHY, INTERRUPTED = 0, 2, 3, 130


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> Any:
        """Say what is wrong with the arguments and leave with exit status 2."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


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
    run.add_argument("--engine", choices=["nuts"], default="nuts", help="how to draw")
    run.add_argument("--draws", type=whole_number(4, 1_000_000), metavar="N", help="per chain")
    run.add_argument("--chains", type=whole_number(1, 64), metavar="N", help="number of chains")
    run.add_argument("--quiet", action="store_true", help="print errors only")
    check = commands.add_parser(
        "check",
        help="validate spec and data, say what would be fitted",
        description="Validate a spec and its data and say what would be fitted; nothing is.",
    )
    check.add_argument("spec", metavar="SPEC", help="a TOML file, or the name of one in models/")
    check.add_argument("--data", metavar="FILE", help="a file or data set instead of the spec's")
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

            print(__version__)
            return DONE
        if options.command == "run":
            return run(options)
        if options.command == "check":
            return check(options)
        if options.command == "list":
            return list_specs()
        parser.error("give a command: run, check or list")
    except BayesCRLMError as problem:
        print(f"bayes-crlm: error: {' '.join(str(problem).split())}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    except KeyboardInterrupt:
        print("bayes-crlm: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    return DONE


def read_checked_spec(options: argparse.Namespace) -> "Spec":
    """Read the spec and put the command line's options into it."""
    from bayes_crlm.spec import read_spec

    return read_spec(options.spec).with_options(
        source=options.data,
        seed=getattr(options, "seed", None),
        draws=getattr(options, "draws", None),
        chains=getattr(options, "chains", None),
    )


def run(options: argparse.Namespace) -> int:
    """Do the main job."""
    from bayes_crlm.analysis import plan_analysis, run_analysis
    from bayes_crlm.results import check_output, write_results
    from bayes_crlm.summary import summarise

    spec = read_checked_spec(options)
    folder = Path(options.out) if options.out else Path("results") / spec.name
    folder = folder.absolute()
    plan = plan_analysis(spec)
    check_output(folder)
    if not options.quiet:
        print(describe(plan))
        print("Sampling ...", flush=True)
    analysis = run_analysis(
        plan, progress=sys.stderr.isatty() and not options.quiet, engine=options.engine
    )
    summary = summarise(analysis)
    report = write_results(analysis, summary, folder)
    if not options.quiet:
        print(conclude(summary))
        print(f"Report: {report}")
    elif summary["status"] != "ok":
        print(
            "bayes-crlm: results are not to be trusted: " + "; ".join(analysis.diagnostics.failures),
            file=sys.stderr,
        )
    return DONE if summary["status"] == "ok" else UNTRUSTWORTHY


def check(options: argparse.Namespace) -> int:
    """Say what would be fitted."""
    from bayes_crlm.analysis import plan_analysis

    print(describe(plan_analysis(read_checked_spec(options))))
    return DONE


def list_specs() -> int:
    """Print names and titles of the specs in models/."""
    from bayes_crlm.spec import available_specs

    specs = available_specs()
    width = max((len(name) for name, *_ in specs), default=0)
    for name, title, _ in specs:
        print(f"{name:{width}}  {title}")
    return DONE


def describe(plan: "Plan") -> str:
    """Say in a few lines what a plan fits."""
    inputs, cohort = plan.inputs, plan.inputs.cohort
    unit = cohort.unit or "time units"
    ends = ", ".join(f"{value:g}" for value in inputs.intervals.cutpoints)
    counts = ", ".join(str(count) for count in inputs.intervals.events)
    levels = ", ".join(str(level) for level in inputs.design.levels[1:])
    rows = "" if inputs.has_row_per_patient else f" in {cohort.n_rows} rows"
    lines = [
        plan.spec.title,
        f"  data        {cohort.source}{' (synthetic, not patient data)' * cohort.is_synthetic}: "
        f"{cohort.n_patients} patients{rows}, {cohort.n_events} events, "
        f"{cohort.exposure:g} {unit} of follow-up",
        f"  treatment   {inputs.design.treatment}: {levels} against {inputs.design.reference}",
        f"  formula     {inputs.design.formula}",
        f"  intervals   {inputs.intervals.n_intervals}, ending at {ends} {unit}; events {counts}",
        f"  priors      treatment {inputs.treatment_prior.describe()}; "
        f"covariates {inputs.covariate_prior.describe()}",
        f"              {inputs.baseline.describe()}",
    ]
    lines += [f"  note        {warning}" for warning in plan.warnings]
    return "\n".join(lines)


def conclude(summary: dict[str, Any]) -> str:
    """Say the result in a few lines, what is not to be trusted first."""
    from bayes_crlm.report import probability_in_words

    lines = []
    if summary["status"] != "ok":
        lines.append("DO NOT TRUST THESE RESULTS:")
        lines += [f"  - {warning}" for warning in summary["diagnostics"]["failures"]]
    if summary["data"]["synthetic"]:
        lines.append("Synthetic, not patient data.")
    cox = {term["term"]: term for term in summary["cox"]["terms"]}
    for row in summary["hazard_ratios"]:
        low, high = row["eti95"]
        lines.append(
            f"{summary['model']['treatment']} {row['treatment']} against {row['reference']}: "
            f"hazard ratio {row['median']:.2f} (95% credible interval {low:.2f} to {high:.2f}), "
            f"P(HR < 1) = {probability_in_words(row['prob_below'].get('1.0'), row['ess_bulk'])}"
        )
        baseline = cox.get(row["term"], {})
        if baseline.get("hazard_ratio") is not None and baseline.get("ci95"):
            limits = ["-" if each is None else f"{each:.2f}" for each in baseline["ci95"]]
            lines.append(
                f"  Cox: {baseline['hazard_ratio']:.2f} (95% confidence interval "
                f"{limits[0]} to {limits[1]})"
            )
    differing = [row for row in summary["agreement"] if row["verdict"] == "differ"]
    for row in differing:
        lines.append(f"  {row['term']} differs from Cox: {row['reason']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
