"""Checkpoints of a training run: one safetensors file, replaced as a whole or not at all.

    tensors    <dictionary>/<name>       weights, moments of the optimiser, rows since each latent fired
    metadata   multidir                  JSON: format, version, config, step, curve

A step number is also the position in the data, and no random number is drawn after the first step, so this is all
that a run needs to go on to the same bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from multidir.errors import ConfigError, FormatError
from multidir.store.atomic import atomic_path
from multidir.store.plain import plain

FORMAT = "multidir-sae-checkpoint"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file held."""

    step: int
    curve: list[dict[str, Any]]
    """Measurements so far, one per dictionary and time."""
    states: dict[str, dict[str, Tensor]]
    """By name of the dictionary."""


def save_checkpoint(
    path: Path,
    config: Mapping[str, Any],
    step: int,
    curve: Sequence[Mapping[str, Any]],
    states: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Replace the checkpoint; if that fails, the one before it stays.

    Raises:
        ConfigError: the disk is full or the folder cannot be written.
    """
    facts = {"format": FORMAT, "version": VERSION, "config": config, "step": step, "curve": list(curve)}
    tensors = {
        f"{name}/{key}": value.detach().cpu().contiguous()
        for name, state in states.items()
        for key, value in state.items()
    }
    text = json.dumps(plain(facts), ensure_ascii=False)
    with atomic_path(path) as partial:
        try:
            save_file(tensors, partial, metadata={"multidir": text})
        except SafetensorError as error:  # it wraps what the system said, and the message is all that is left of it
            raise ConfigError(
                f"cannot write {path}: {error}; the checkpoint before it is still there. Free space or choose another "
                "folder, then start again"
            ) from error


def load_checkpoint(path: Path, config: Mapping[str, Any]) -> Checkpoint | None:
    """Read a checkpoint of the same config; none when there is no file.

    Raises:
        FormatError: not a checkpoint, of another version, or broken.
        ConfigError: of another config; every difference is listed.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["multidir"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        kind, version = facts["format"], facts["version"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path} cannot be read as a checkpoint: {error}; delete it to start again") from error
    if (kind, version) != (FORMAT, VERSION):
        raise FormatError(f"{path}: expected {FORMAT} of version {VERSION}, got {kind} of version {version}")
    differences = list(_differences(facts["config"], plain(dict(config)), ""))
    if differences:
        raise ConfigError(
            f"{path} is of another config: {'; '.join(differences)}. Use the same settings, or another folder"
        )
    states: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, part = key.partition("/")
        states.setdefault(name, {})[part] = value
    return Checkpoint(int(facts["step"]), facts["curve"], states)


def _differences(was: Any, now: Any, where: str) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        for name in [*was, *(name for name in now if name not in was)]:
            yield from _differences(was.get(name), now.get(name), f"{where}.{name}" if where else name)
    elif was != now:
        yield f"{where} was {was!r}, is {now!r}"
