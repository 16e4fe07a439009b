"""What every recipe does around its work: its run folder, its inputs, its models, its last sentence."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from multidir import resources
from multidir.errors import FormatError
from multidir.models.source import locate
from multidir.records.pair import Pair
from multidir.records.verdict import Status
from multidir.store.manifest_file import read_manifest
from multidir.store.plain import plain
from multidir.store.runs import Run, open_run

log = logging.getLogger("multidir")


def open_stage(cfg: Any, recipe: str, inputs: Mapping[str, Path] | None = None, skip: Collection[str] = ()) -> Run:
    """The run folder of this recipe for these settings and inputs: an earlier one when there is one.

    Fields of the config that are paths are its inputs and enter the hash by their content; so do the models
    of a `pair`. `science` is hashed as it stands, `compute` is not. `inputs` are further files, by name; `skip`
    are fields that this run does not look at.

    Raises:
        ConfigError: an input is missing or unfinished.
        ModelError: a model of the pair cannot be found.
    """
    found = dict(inputs or {})
    config: dict[str, Any] = {}
    for field in dataclasses.fields(cfg):
        value = getattr(cfg, field.name)
        if field.name in skip:
            continue
        if isinstance(value, Pair):
            found |= pair_inputs(value)
        if isinstance(value, Path):
            found[field.name] = value
            config[field.name] = value
        else:
            config[field.name] = plain(value) if not isinstance(value, Pair) else _sources(value)
    return open_run(cfg.compute.runs, recipe, config, found)


def pair_inputs(pair: Pair) -> dict[str, Path]:
    """The files of a pair that are on this machine, by role; a model known by hub id is not among them."""
    found = {role: locate(pair.source(role)) for role in pair.roles}
    files = {str(role): Path(at.name, at.gguf_file or "") for role, at in found.items() if at.is_folder}
    if pair.special_map is not None:
        files["special_map"] = resources.locate(pair.special_map)
    return files


def _sources(pair: Pair) -> dict[str, str | Path]:
    """Where the models were found: a hub id is hashed, a place on this machine is only written down."""
    named = {role: pair.source(role) for role in pair.roles}
    found = {role: Path(source) if locate(source).is_folder else source for role, source in named.items()}
    return found | ({} if pair.special_map is None else {"special_map": Path(pair.special_map)})


def headline(path: Path) -> str:
    """The sentence a run ended with, or nothing."""
    try:
        return str(read_manifest(Path(path)).get("notes", {}).get("headline", ""))
    except FormatError:
        return ""


def has_invalid_verdict(path: Path) -> bool:
    """Whether a run came to a verdict whose controls failed."""
    file = Path(path) / "verdicts.json"
    if not file.is_file():
        return False
    return any(verdict["status"] == Status.INVALID.value for verdict in json.loads(file.read_text(encoding="utf-8")))
