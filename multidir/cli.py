"""The command line: list, run, copy and show; every heavy import waits until it is needed.

stdout carries the path of what was made, and nothing else; progress and messages go to stderr.
Exit codes: 0 done, 1 our own error, 2 wrong usage, 3 finished but a verdict is invalid, 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from multidir.errors import ConfigError, MultidirError

EXAMPLES = """examples:
  multidir run study --preset tiny       the whole study on the shipped pair, in minutes, offline
  multidir run data/traces --help        the settings of one recipe
  multidir cp analysis/steering mine.py  take a copy of a recipe, change it, then: multidir run mine.py
  multidir show runs/analysis/...        what a run, store or direction file holds
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="multidir",
        description="Which residual-stream directions make a language model backtrack, and do they add or interact?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--traceback", action="store_true", help="show where one of our own errors was raised")
    parser.add_argument("--quiet", action="store_true", help="no progress and no messages but errors")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("ls", help="list the recipes with what each one answers")
    run = commands.add_parser(
        "run", help="run a recipe: multidir run NAME [settings]; --help lists them", add_help=False
    )
    run.add_argument("recipe", help="a name from `multidir ls` (`study` for `analysis/study`) or your own file.py")
    run.add_argument("settings", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    copy = commands.add_parser("cp", help="copy a recipe to change it")
    copy.add_argument("recipe")
    copy.add_argument("to", type=Path)
    show = commands.add_parser("show", help="say what a run folder, store, direction set or table holds")
    show.add_argument("path", type=Path)
    show.add_argument("--verify", action="store_true", help="hash its files again and compare, as `verify` does")
    show.add_argument("--figures", type=Path, metavar="FOLDER", help="draw its figures there, as SVG, PNG and CSV")
    verify = commands.add_parser("verify", help="hash a run's or a store's files again and compare")
    verify.add_argument("path", type=Path)
    return parser


def _ls(_: argparse.Namespace) -> int:
    from multidir.recipes.find import first_line, recipe_files

    files = recipe_files()
    width = max(map(len, files), default=0)
    for name, file in files.items():
        print(f"{name:<{width}}  {first_line(file)}")
    return 0


def _run(options: argparse.Namespace) -> int:
    from multidir.recipes.configure import from_command_line
    from multidir.recipes.find import load_recipe
    from multidir.recipes.stage import has_invalid_verdict, headline

    if options.recipe in ("-h", "--help"):
        print(__doc__)
        return 0
    recipe = load_recipe(options.recipe)
    settings = from_command_line(recipe, options.settings)
    if recipe.name == "analysis/study" and settings.dry_run:
        from multidir.recipes.forecast import forecast_text
        from multidir.recipes.preset import chosen_preset

        preset = chosen_preset(settings.preset, settings.rules, settings.base, settings.reasoning, settings.annotator)
        print(forecast_text(preset, settings.compute))
        return 0
    made = recipe.main(settings)
    if line := headline(made):
        logging.getLogger("multidir").info(line)
    if made.exists():  # a dry run makes nothing
        print(made)
    return 3 if has_invalid_verdict(made) else 0


def _cp(options: argparse.Namespace) -> int:
    from multidir.recipes.find import full_name, recipe_files

    if options.to.exists():
        raise ConfigError(f"{options.to} exists already; choose another name")
    shutil.copyfile(recipe_files()[full_name(options.recipe)], options.to)
    print(options.to)
    return 0


def _show(options: argparse.Namespace) -> int:
    from multidir.report.show import draw_figures, show

    print(show(options.path))
    if options.figures is not None:
        print(*draw_figures(options.path, options.figures), sep="\n")
    return _verify(options) if options.verify else 0


def _verify(options: argparse.Namespace) -> int:
    from multidir.report.show import verify

    problems = verify(options.path)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{options.path}: every file is as it was written")
    return 1 if problems else 0


def _set_up_logging(quiet: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("multidir")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.ERROR if quiet else logging.INFO)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    _set_up_logging(options.quiet)
    command = {"ls": _ls, "run": _run, "cp": _cp, "show": _show, "verify": _verify}[options.command]
    try:
        return command(options)
    except MultidirError as error:
        if options.traceback:
            raise
        print(f"multidir: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of stdout, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("multidir: interrupted; the same command goes on where it was", file=sys.stderr)
        return 130
