"""The command line: `bayes-crlm run`, `check`, `sensitivity` and `list`."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from bayes_crlm.cli import check, run, sensitivity, specs
from bayes_crlm.cli.program import BAD_INPUT, DONE, INTERRUPTED, ended_by_signals, open_streams
from bayes_crlm.cli.terminal import flush_streams, on_one_line, say
from bayes_crlm.words.errors import BayesCRLMError

__all__ = ["main"]

# a new command is a module and its name here
COMMANDS = (run, check, sensitivity, specs)
NAMES = ("run", "check", "sensitivity", "list")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> Any:
        """Say what is wrong with the arguments and leave with exit status 2."""
        self.exit(
            BAD_INPUT, f"{self.prog}: error: {on_one_line(message)} (see {self.prog} --help)\n"
        )


def make_parser() -> argparse.ArgumentParser:
    """Build the command line's grammar."""
    parser = Parser(
        prog="bayes-crlm",
        description="Bayesian piecewise-exponential survival models for small cohorts: "
        "posterior hazard ratios, held against Cox regression.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        command.add_command(commands)
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
        from bayes_crlm.words.version import VERSION

        say(VERSION)
        return DONE
    if options.command is None:
        parser.error(f"give a command: {', '.join(NAMES[:-1])} or {NAMES[-1]}")
    return options.run_command(options)
