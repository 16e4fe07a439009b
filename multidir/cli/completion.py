"""Completion scripts for bash, zsh and fish: commands, recipes with their settings, presets, rules, choices."""

from __future__ import annotations

import dataclasses
import shlex
import typing
from collections.abc import Iterator
from typing import Any, Literal

from multidir.cli.parser import GLOBAL, SHELLS, make_parser
from multidir.recipes.find import load_recipe, recipe_files
from multidir.recipes.preset import preset_names
from multidir.recipes.rule_sets import load_rules, rule_set_names

Words = dict[str, list[str]]


def script(shell: str) -> str:
    """The script for a shell, to be saved where the shell looks for completions.

    It holds every recipe's settings as they are now: write it again after an update.
    """
    options, values = options_known(), _values()
    if shell == "fish":
        return "\n".join(_fish(options, values))
    start = ["autoload -U +X bashcompinit && bashcompinit"] if shell == "zsh" else []
    return "\n".join([*start, *_bash(options, values)])


def options_known() -> Words:
    """What can follow: a command's own words by command, a recipe's settings by `run RECIPE`."""
    actions = make_parser()._subparsers._group_actions[0]  # type: ignore[union-attr]  # argparse has no public way
    found: Words = {}
    for name, parser in typing.cast(dict[str, Any], actions.choices).items():
        found[name] = sorted({option for action in parser._actions for option in action.option_strings})
    ruled = {recipe for rules in rule_set_names() for recipe in load_rules(rules)}
    for name in recipe_files():
        own = {f"--{field}" for field, _ in _fields(load_recipe(name).config)}
        found[f"run {name}"] = sorted(own | {"--help"} | ({"--rules"} if name in ruled else set()))
    return found


def _values() -> Words:
    """What can follow an option, where that is a closed set."""
    found: Words = {"--preset": preset_names(), "--rules": rule_set_names(), "completion": list(SHELLS)}
    for name in recipe_files():
        for field, kind in _fields(load_recipe(name).config):
            if typing.get_origin(kind) is Literal:
                found[f"--{field}"] = [str(value) for value in typing.get_args(kind)]
    return found


def _fields(config: type[Any]) -> Iterator[tuple[str, Any]]:
    """Settings as they are typed, those of nested groups without a prefix."""
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _fields(hints[field.name])
        else:
            yield field.name.replace("_", "-"), hints[field.name]


def _recipes() -> list[str]:
    names = list(recipe_files())
    return [*names, *(name.partition("/")[2] for name in names)]


def _bash(options: Words, values: Words) -> Iterator[str]:
    commands = [name for name in options if " " not in name]
    yield "_multidir() {"
    yield '  local now="${COMP_WORDS[COMP_CWORD]}" last="${COMP_WORDS[COMP_CWORD-1]}" words="" i command="" recipe=""'
    yield "  for ((i = 1; i < COMP_CWORD; i++)); do"
    yield '    [[ "${COMP_WORDS[i]}" == --* && -z "$command" ]] && continue'
    yield '    if [[ -z "$command" ]]; then command="${COMP_WORDS[i]}"'
    yield '    elif [[ -z "$recipe" ]]; then recipe="${COMP_WORDS[i]}"; fi'
    yield "  done"
    yield '  case "$last" in'
    yield from (f"    {word}) words={_quoted(found)};;" for word, found in values.items())
    yield "  esac"
    yield '  if [[ -z "$words" ]]; then case "$command" in'
    yield f"    '') words={_quoted([*commands, *(f'--{name}' for name in GLOBAL)])};;"
    yield '    run) case "$recipe" in'
    yield f"      '') words={_quoted(_recipes())};;"
    for name, found in options.items():
        if name.startswith("run "):
            short = name.removeprefix("run ")
            yield f"      {short}|{short.partition('/')[2]}) words={_quoted(found)};;"
    yield "      esac;;"
    yield f"    cp) words={_quoted(_recipes())};;"
    yield from (f"    {name}) words={_quoted(options[name])};;" for name in commands if name not in ("run", "cp"))
    yield "  esac; fi"
    yield '  COMPREPLY=($(compgen -W "$words" -- "$now"))'
    yield "}"
    yield "complete -o default -F _multidir multidir"


def _quoted(words: list[str]) -> str:
    return shlex.quote(" ".join(words))


def _fish(options: Words, values: Words) -> Iterator[str]:
    commands = [name for name in options if " " not in name]
    yield f"complete -c multidir -n __fish_use_subcommand -a {_quoted(commands)}"
    yield f"complete -c multidir -n '__fish_seen_subcommand_from run cp' -a {_quoted(_recipes())}"
    yield f"complete -c multidir -n '__fish_seen_subcommand_from completion' -a {_quoted(values['completion'])}"
    for name, found in options.items():
        words = name.split()
        seen = f"__fish_seen_subcommand_from {words[0]}"
        if len(words) == 2:
            seen += f"; and contains -- {words[1]} (commandline -opc)"
        for option in found:
            if option.startswith("--"):
                more = f" -x -a {_quoted(values[option])}" if option in values else ""
                yield f"complete -c multidir -n '{seen}' -l {option[2:]}{more}"
