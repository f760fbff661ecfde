"""The command `list`: the specs in models/."""

import argparse
from typing import Any

from bayes_crlm.cli.program import DONE
from bayes_crlm.cli.terminal import say


def add_command(commands: Any) -> None:
    """Add the command to the command line's grammar."""
    parser = commands.add_parser("list", help="the specs in models/ with their titles")
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Print names and titles of the specs in models/."""
    from bayes_crlm.specification.spec import available_specs

    specs = available_specs()
    width = max((len(name) for name, *_ in specs), default=0)
    for name, title, _ in specs:
        say(f"{name:{width}}  {title}")
    return DONE
