"""What a run leads to: the traces, labels, activations, directions and steered texts behind it, found by its inputs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multidir.errors import ConfigError
from multidir.exchange.read import OWN
from multidir.store.manifest_file import MANIFEST, read_manifest


@dataclass(frozen=True)
class Sources:
    """Run folders by what they hold, nearest to the run first; none where there is none."""

    traces: Path | None = None
    labels: Path | None = None
    activations: Path | None = None
    outcomes: Path | None = None
    directions: tuple[Path, ...] = ()
    choice: Path | None = None
    """Of a site and window to steer at."""
    model: str = ""
    """Source of the model that wrote the traces, as its run wrote it down."""


def find_sources(path: Path) -> Sources:
    """Walk from a run, or an activation store, to the runs it was made from.

    Of several runs that hold the same, the nearest counts, and of equally near ones the last: the report reads
    the offset grid and the steering study, and shows the texts of the latter.

    Raises:
        ConfigError: nothing there.
        FormatError: not a run or store.
    """
    if not path.is_dir():
        raise ConfigError(f"{path} is no folder; give a run folder or an activation store")
    rounds = list(_rounds(path))

    def nearest(name: str) -> Path | None:
        return next((folder for near in rounds for folder in reversed(near) if (folder / name).is_file()), None)

    everything = [folder for near in rounds for folder in near]
    traces = nearest("traces.jsonl")
    store = path if "recipe" not in read_manifest(path) else nearest(f"store/{MANIFEST}")
    with_models = [folder for folder in (traces, store, *everything) if folder is not None]
    return Sources(
        traces=traces,
        labels=nearest("sentences.jsonl"),
        activations=store,
        outcomes=nearest("outcomes.jsonl"),
        directions=tuple(folder for folder in everything if (folder / OWN).is_file()),
        choice=nearest("choice.json"),
        model=next(filter(None, map(_model, with_models)), ""),
    )


def input_folder(path: Path, manifest: Mapping[str, Any], name: str) -> Path | None:
    """Where an input run lies: beside this run's recipe folder, by its name."""
    wanted = manifest["inputs"].get(name, {}).get("name", "")
    found = sorted(path.resolve().parents[2].glob(f"*/*/{wanted}")) if wanted else []
    return found[0] if found else None


def _rounds(path: Path) -> Iterator[list[Path]]:
    """The run, then the runs it read, then the runs that those read, each once."""
    near, seen = [path], {path.resolve()}
    while near:
        yield near
        further = []
        for folder in near:
            manifest = read_manifest(folder)
            for name in manifest["inputs"] if "recipe" in manifest else ():
                found = input_folder(folder, manifest, name)
                if found is not None and (found / MANIFEST).is_file() and found.resolve() not in seen:
                    seen.add(found.resolve())
                    further.append(found)
        near = further


def _model(folder: Path) -> str:
    """The model that a run used, the reasoning one if it used both."""
    file = folder / "config.json"
    pair = json.loads(file.read_text(encoding="utf-8")).get("pair") if file.is_file() else None
    return str((pair or {}).get("reasoning") or (pair or {}).get("base") or "")
