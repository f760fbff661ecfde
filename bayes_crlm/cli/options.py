"""Arguments that several commands share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.words.docstrings import require_docstrings
from bayes_crlm.words.errors import SpecError

if TYPE_CHECKING:
    from bayes_crlm.specification.spec import Spec


def add_spec_and_data(parser: argparse.ArgumentParser) -> None:
    """Add the spec, and the file that goes before the spec's."""
    parser.add_argument("spec", metavar="SPEC", help="a TOML file, or the name of one in models/")
    parser.add_argument("--data", metavar="FILE", help="a file or data set instead of the spec's")


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


def result_folder(options: argparse.Namespace, spec: "Spec") -> Path:
    """Find the folder for the results and look, before anything is fitted, that all can be written.

    Raises
    ------
    BayesCRLMError
        In one sentence.
    """
    from bayes_crlm.cli.program import use_agg
    from bayes_crlm.report.output_folder import check_output

    folder = check_output(Path("results") / spec.name if options.out is None else options.out)
    require_docstrings()
    use_agg()
    return folder


def read_checked_spec(options: argparse.Namespace) -> "Spec":
    """Read the spec and put the command line's options into it."""
    from bayes_crlm.sensitivity.spec import read_spec

    if options.data is not None and not options.data.strip():
        raise SpecError(f"--data {options.data!r}: is not the name of a file or data set; give one")
    try:
        spec = read_spec(options.spec)
    except SpecError as problem:
        from bayes_crlm.analysis.readable_spec import with_problems_of_data

        raise with_problems_of_data(problem, options) from None
    return spec.with_options(
        source=options.data,
        seed=getattr(options, "seed", None),
        draws=getattr(options, "draws", None),
        chains=getattr(options, "chains", None),
    )
