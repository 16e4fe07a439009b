"""What can be typed: commands, options, examples of each, and the nearest word for a misspelled command."""

from __future__ import annotations

import argparse
import difflib
import re
from pathlib import Path
from typing import Any, NoReturn

SHELLS = ("bash", "zsh", "fish")

EXAMPLES = """examples:
  multidir run study --preset tiny       the whole study on the shipped pair, in minutes, offline
  multidir run data/traces --help        the settings of one recipe
  multidir cp analysis/steering mine.py  take a copy of a recipe, change it, then: multidir run mine.py
  multidir show runs/analysis/...        what a run, store or direction file holds
  multidir view runs/analysis/...        its traces token by token, as a page to open in a browser
  multidir doctor --preset llama8b       what this machine can run

exit codes: 0 done, 1 our own error, 2 wrong usage, 3 finished but a verdict is invalid, 130 interrupted
"""

GLOBAL = {
    "traceback": "show where one of our own errors was raised",
    "quiet": "no progress and no messages but errors",
    "json": "print the result as one JSON object",
}
"""Options that every command understands, before the command or behind it."""


class _Parser(argparse.ArgumentParser):
    """Suggests what was meant."""

    def error(self, message: str) -> NoReturn:
        found = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if found:
            choices = [word.strip(" '") for word in found[2].split(",")]
            near = difflib.get_close_matches(found[1], choices, n=1, cutoff=0.5)
            message = f"no {found[1]!r}; " + (f"did you mean {near[0]!r}? " if near else "")
            message += f"there are {', '.join(choices)}"
        super().error(message)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `command` of what it gives back says which command was typed."""
    parser = _Parser(
        prog="multidir",
        description="Which residual-stream directions make a language model backtrack, and do they add or interact?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, what in GLOBAL.items():
        parser.add_argument(f"--{name}", action="store_true", help=what)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _recipes(commands)
    _artifacts(commands)
    _machine(commands)
    return parser


def _command(commands: Any, name: str, what: str, *examples: str, **how: Any) -> argparse.ArgumentParser:
    """A command that understands the global options too; what stood before it is not taken back."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **how,
    )
    for option, text in GLOBAL.items():
        made.add_argument(f"--{option}", action="store_true", default=argparse.SUPPRESS, help=text)
    return made


def _recipes(commands: Any) -> None:
    _command(commands, "ls", "list the recipes with what each one answers", "multidir ls", "multidir ls --json")
    run = _command(
        commands,
        "run",
        "run a recipe",
        "multidir run study --preset tiny",
        "multidir run study --preset llama8b --dry-run",
        "multidir run data/traces --help                the settings of one recipe",
        "multidir run mine.py --prompts runs/data/prompts/...",
        usage="multidir run RECIPE [settings]",
    )
    run.add_argument("recipe", help="a name from `multidir ls` (`study` for `analysis/study`) or your own file.py")
    run.add_argument("settings", nargs=argparse.REMAINDER, help="of the recipe; `multidir run RECIPE --help`")
    copy = _command(commands, "cp", "copy a recipe to change it", "multidir cp analysis/steering mine.py")
    copy.add_argument("recipe", help="a name from `multidir ls`")
    copy.add_argument("to", type=Path, help="the new file")


def _artifacts(commands: Any) -> None:
    show = _command(
        commands,
        "show",
        "say what a run folder, store, direction set or table holds",
        "multidir show runs/train/directions/...",
        "multidir show runs/data/activations/.../store --verify",
        "multidir show runs/analysis/steering/... --figures figures",
    )
    show.add_argument("path", type=Path)
    show.add_argument("--verify", action="store_true", help="hash its files again and compare, as `verify` does")
    show.add_argument("--figures", type=Path, metavar="FOLDER", help="draw its figures there, as SVG, PNG and CSV")
    what = "hash a run's or a store's files again and compare"
    verify = _command(commands, "verify", what, "multidir verify runs/analysis/steering/...")
    verify.add_argument("path", type=Path)
    view = _command(
        commands,
        "view",
        "write a page that shows traces token by token",
        "multidir view runs/analysis/steering/...",
        "multidir view runs/data/activations/... --from mine.safetensors --out traces.html",
        "multidir view runs/data/activations/... --dictionary runs/train/sae/.../sae --latents 3 17",
    )
    view.add_argument("path", type=Path, metavar="run", help="a run folder or an activation store")
    view.add_argument("--out", type=Path, metavar="FILE", help="the page; otherwise named after the run, here")
    view.add_argument("--directions", nargs="+", default=(), metavar="NAME", help="colour by these; see `show`")
    view.add_argument("--from", dest="source", type=Path, metavar="PATH", help="directions of a run or of a file")
    view.add_argument("--dictionary", type=Path, metavar="FOLDER", help="a sparse autoencoder")
    view.add_argument("--latents", nargs="+", type=int, default=(), metavar="N", help="colour by these of its latents")
    view.add_argument("--tokenizer", default="", metavar="MODEL", help="for runs that do not say which model they used")
    view.add_argument("--traces", type=int, metavar="N", help="at most, those with the behaviour first (default: 1000)")


def _machine(commands: Any) -> None:
    doctor = _command(
        commands,
        "doctor",
        "say what this machine can run, and what a preset would need",
        "multidir doctor",
        "multidir doctor --preset llama8b",
    )
    doctor.add_argument("--preset", default="", metavar="NAME", help="of a study, or a .toml file")
    doctor.add_argument("--runs", type=Path, default=Path("runs"), help="where its files would go (default: runs)")
    shell = _command(
        commands,
        "completion",
        "print the completion of commands, recipes, presets and settings for a shell",
        "multidir completion bash > ~/.local/share/bash-completion/completions/multidir",
        "multidir completion fish > ~/.config/fish/completions/multidir.fish",
        "multidir completion zsh > ~/.multidir.zsh   (and `source ~/.multidir.zsh` in ~/.zshrc)",
    )
    shell.add_argument("shell", choices=SHELLS)
