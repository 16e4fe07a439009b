"""The commands, one function each: it takes the parsed options, prints its result and returns the exit code."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multidir.errors import ConfigError

Options = argparse.Namespace


def _print(options: Options, text: str, facts: Any) -> None:
    """The result, in words or as one JSON object."""
    print(json.dumps(facts, default=str, ensure_ascii=False) if options.json else text)


def _ls(options: Options) -> int:
    from multidir.recipes.find import questions

    found = questions()
    width = max(map(len, found), default=0)
    _print(options, "\n".join(f"{name:<{width}}  {question}" for name, question in found.items()), found)
    return 0


def _run(options: Options) -> int:
    from multidir.recipes.configure import from_command_line
    from multidir.recipes.find import load_recipe
    from multidir.recipes.stage import has_invalid_verdict, headline

    recipe = load_recipe(options.recipe)
    settings = from_command_line(recipe, options.settings)
    if recipe.name == "analysis/study" and settings.dry_run:
        from multidir.recipes.forecast import forecast
        from multidir.recipes.forecast_text import forecast_text
        from multidir.recipes.preset import chosen_preset
        from multidir.store.plain import plain

        preset = chosen_preset(settings.preset, settings.rules, settings.base, settings.reasoning, settings.annotator)
        rows = plain(forecast(preset, settings.compute)) if options.json else None
        _print(options, forecast_text(preset, settings.compute), {"preset": preset.name, "stages": rows})
        return 0
    made = recipe.main(settings)
    if os.environ.get("RANK", "0") != "0":  # of the processes that torchrun starts, the leading one speaks
        return 0
    if line := headline(made):
        logging.getLogger("multidir").info(line)
    if made.exists():  # a dry run makes nothing
        _print(options, str(made), _outcome(made) if options.json else None)
    return 3 if has_invalid_verdict(made) else 0


def _outcome(made: Path) -> dict[str, Any]:
    from multidir.recipes.stage import headline
    from multidir.report.show import facts

    return facts(made) if made.is_dir() else {"path": made, "headline": headline(made)}


def _cp(options: Options) -> int:
    from multidir.recipes.find import full_name, recipe_files

    if options.to.exists():
        raise ConfigError(f"{options.to} exists already; choose another name")
    shutil.copyfile(recipe_files()[full_name(options.recipe)], options.to)
    _print(options, str(options.to), {"path": options.to})
    return 0


def _show(options: Options) -> int:
    from multidir.report.show import draw_figures, facts, show

    drawn = [] if options.figures is None else draw_figures(options.path, options.figures)
    text = "\n".join([show(options.path), *map(str, drawn)])
    _print(options, text, {**facts(options.path), **({"figures": drawn} if drawn else {})} if options.json else None)
    return _verify(options) if options.verify else 0


def _verify(options: Options) -> int:
    from multidir.report.show import verify

    problems = verify(options.path)
    text = "\n".join(problems) or f"{options.path}: every file is as it was written"
    _print(options, text, {"path": options.path, "problems": problems})
    return 1 if problems else 0


def _view(options: Options) -> int:
    from multidir.report.page import stylesheet
    from multidir.report.view import View, lead_of, view_content, viewer_page
    from multidir.store.atomic import write_bytes_atomic

    how = {"traces": options.traces} if options.traces is not None else {}
    view = View(
        directions=tuple(options.directions),
        source=options.source,
        dictionary=options.dictionary,
        latents=tuple(options.latents),
        tokenizer=options.tokenizer,
        **how,
    )
    content = view_content(options.path, view)
    name = options.path.resolve().name
    page = viewer_page(content, f"Traces of {name}", lead_of(content), stylesheet(viewer=True))
    out = options.out or Path(f"{name}.html")
    write_bytes_atomic(out, page.encode("utf-8", errors="replace"))
    logging.getLogger("multidir").info("%s Open the page in a browser; it needs nothing else.", lead_of(content))
    _print(options, str(out), {"path": out, "traces": len(content["traces"]), "readings": content["readings"]})
    return 0


def _doctor(options: Options) -> int:
    from multidir.cli.doctor import examine, in_words

    findings = examine(options.preset, options.runs)
    _print(options, in_words(findings), [finding._asdict() for finding in findings])
    return 1 if any(finding.state == "missing" for finding in findings) else 0


def _completion(options: Options) -> int:
    from multidir.cli.completion import script

    print(script(options.shell))
    return 0


COMMANDS: dict[str, Callable[[Options], int]] = {
    "ls": _ls,
    "run": _run,
    "cp": _cp,
    "show": _show,
    "verify": _verify,
    "view": _view,
    "doctor": _doctor,
    "completion": _completion,
}
