"""The command line: one file a command."""

from bayes_crlm.cli.command_line import main

__all__ = ["main"]
