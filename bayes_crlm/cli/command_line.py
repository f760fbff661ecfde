"""The command line: `bayes-crlm run`, `check`, `sensitivity` and `list`."""

import argparse
import gc
import sys
from collections.abc import Sequence
from typing import Any

from bayes_crlm.cli import check, run, sensitivity, specs
from bayes_crlm.cli.program import BAD_INPUT, DONE, INTERRUPTED, ended_by_signals, open_streams
from bayes_crlm.cli.terminal import (
    CLOSED,
    flush_streams,
    on_one_line,
    require_printed,
    say,
    unprinted,
)
from bayes_crlm.words.errors import BayesCRLMError

# a new command is a module and a line here
COMMANDS = {"run": run, "check": check, "sensitivity": sensitivity, "list": specs}
# objects made before Python looks for garbage: most are those of modules, which stay
ALLOCATED = 50_000
NO_MEMORY = "there is not enough memory; ask for fewer draws or chains, or give fewer patients"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> Any:
        """Say what is wrong with the arguments and leave with exit status 2."""
        self.exit(
            BAD_INPUT, f"{self.prog}: error: {on_one_line(message)} (see {self.prog} --help)\n"
        )

    def print_help(self, file: Any = None) -> None:
        """Print the help as all else is printed: argparse passes over a disk that is full."""
        say(self.format_help().removesuffix("\n"), stream=file)


def make_parser() -> argparse.ArgumentParser:
    """Build the command line's grammar."""
    parser = Parser(
        prog="bayes-crlm",
        description="Bayesian piecewise-exponential survival models for small cohorts: posterior "
        "hazard ratios, compared with Cox regression.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS.values():
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
    unprinted.clear()
    if is_ours and not open_streams():
        unprinted.append(CLOSED)
    if is_ours:
        gc.set_threshold(ALLOCATED)
    with ended_by_signals(is_ours=is_ours):
        try:
            return answer(make_parser(), arguments)
        except BayesCRLMError as problem:
            say(f"bayes-crlm: error: {on_one_line(problem)}", stream=sys.stderr)
            return BAD_INPUT
        except MemoryError:
            say(f"bayes-crlm: error: {NO_MEMORY}", stream=sys.stderr)
            return BAD_INPUT
        except KeyboardInterrupt:
            say("bayes-crlm: interrupted; nothing was written", stream=sys.stderr)
            return INTERRUPTED
        finally:
            flush_streams()


def answer(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Do what the arguments ask for, and make sure that an answer that is printed only arrived.

    Gives the exit status.
    """
    try:
        options = parser.parse_args(arguments)
    except SystemExit as leaving:
        if not leaving.code:  # after --help
            require_printed()
        raise
    status = run_command_line(parser, options)
    # what others say stands in their folders
    if not getattr(options, "writes_results", False):
        require_printed()
    return status


def run_command_line(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Do what the arguments ask for; gives the exit status."""
    if options.version:
        from bayes_crlm.words.version import VERSION

        say(VERSION)
        return DONE
    if options.command is None:
        *names, last = COMMANDS
        parser.error(f"give a command: {', '.join(names)} or {last}")
    return options.run_command(options)
