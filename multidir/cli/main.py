"""Runs one command: its result to stdout, everything else to stderr, and an exit code that says how it ended.

Exit codes: 0 done, 1 our own error, 2 wrong usage, 3 finished but a verdict is invalid, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from multidir.cli.commands import COMMANDS
from multidir.cli.messages import say_error, set_up
from multidir.cli.parser import GLOBAL, make_parser
from multidir.errors import MultidirError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = make_parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        return 2
    options = parser.parse_args(arguments)
    if options.command == "run":  # argparse leaves everything behind the recipe to it
        for name in GLOBAL:
            if f"--{name}" in options.settings:
                options.settings.remove(f"--{name}")
                setattr(options, name, True)
    set_up(options.quiet)
    try:
        return COMMANDS[options.command](options)
    except MultidirError as error:
        if options.traceback:
            raise
        say_error("\n  ".join([str(error), *getattr(error, "__notes__", ())]))
        return 1
    except BrokenPipeError:  # the reader of stdout, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        say_error("interrupted; the same command goes on where it was")
        return 130
