"""The command `check`: say what would be fitted."""

import argparse
from typing import Any

from bayes_crlm.cli.options import add_spec_and_data, read_checked_spec
from bayes_crlm.cli.program import DONE, require_working_folder
from bayes_crlm.cli.terminal import describe, describe_sensitivity, say


def add_command(commands: Any) -> None:
    """Add the command to the command line's grammar."""
    parser = commands.add_parser(
        "check",
        help="validate spec and data, say what would be fitted",
        description="Validate a spec and its data and say what would be fitted; nothing is.",
    )
    add_spec_and_data(parser)
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Say what would be fitted."""
    require_working_folder()
    from bayes_crlm.analysis.plan import plan_analysis

    plan = plan_analysis(read_checked_spec(options))
    say(describe(plan))
    if plan.spec.sensitivity is not None:
        say("\n".join(describe_sensitivity(plan)))
    return DONE
