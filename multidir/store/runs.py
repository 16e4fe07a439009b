"""Run folders: one per recipe, config and inputs, with a manifest whose status `complete` is written last.

    root/<recipe>/<date>_<slug>_<hash8>/manifest.json, config.json, outputs

The hash covers what can change a number: recipe, config and the content of the inputs. A key `compute` at
the top of the config and values that are paths are saved but not hashed: where something runs or lies is
not part of the result.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Self

from multidir.errors import ConfigError
from multidir.store.atomic import make_folder, sha256_json, write_json_atomic
from multidir.store.locks import NAME as LOCK
from multidir.store.locks import FolderLock
from multidir.store.manifest_file import MANIFEST, read_manifest
from multidir.store.provenance import git_revision, versions
from multidir.store.run_files import (
    CONFIG,
    FORMAT,
    VERSION,
    hash_outputs,
    input_hash,
    missing_outputs,
    outputs_hash,
)

_SLUG = re.compile(r"[a-z0-9][a-z0-9.-]*")


class Run:
    """A run folder; `with run:` marks it started, and complete, failed or interrupted at the end.

    Make one with `open_run`. Outputs are whatever files the block leaves in the folder.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], config: Any) -> None:
        self.path = path
        self.manifest = manifest
        self.config = config
        self._lock: FolderLock | None = None
        self._start = 0.0

    def __repr__(self) -> str:
        return f"Run({self.path}, {self.status})"

    @property
    def status(self) -> str:
        """`new`, `started`, `complete`, `failed` or `interrupted`."""
        return str(self.manifest["status"])

    @property
    def complete(self) -> bool:
        """Whether it ended well and every output is still there with its size."""
        return self.status == "complete" and not missing_outputs(self.path, self.manifest)

    def file(self, name: str) -> Path:
        """Path of an output by its name relative to the folder; subfolders are made.

        Raises:
            ConfigError: the name leads out of the folder or belongs to the run itself.
        """
        relative = PurePath(name)
        if relative.is_absolute() or ".." in relative.parts or name in (MANIFEST, LOCK):
            raise ConfigError(f"{name!r} cannot be an output of run {self.path.name}; give a name inside its folder")
        path = self.path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def note(self, **facts: Any) -> None:
        """Add facts to the manifest, such as seeds that the config does not hold or counts of skipped traces."""
        self.manifest["notes"] = {**self.manifest["notes"], **facts}
        if self._lock is not None:
            self._write()

    def __enter__(self) -> Self:
        make_folder(self.path)
        self._lock = FolderLock(self.path, "run")
        self._start = time.monotonic()
        try:
            self._begin()
        except BaseException:
            self._unlock()
            raise
        return self

    def _begin(self) -> None:
        if (self.path / MANIFEST).exists():  # written by another process since open_run, perhaps
            notes = self.manifest["notes"]
            self.manifest = read_manifest(self.path, FORMAT, VERSION)
            self.manifest["notes"] |= notes
        if self.complete:
            raise ConfigError(f"run {self.path} is complete; use its outputs, or delete the folder to run it again")
        write_json_atomic(self.path / CONFIG, self.config)
        self.manifest.pop("error", None)
        self.manifest |= {"status": "started", "versions": versions(), "revision": git_revision(), "outputs": {}}
        self.manifest["attempts"] += 1
        self._write()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.manifest["seconds"] += round(time.monotonic() - self._start, 3)
            if kind is None:
                self.manifest["outputs"] = hash_outputs(self.path)
                self.manifest["outputs_hash"] = outputs_hash(self.manifest["outputs"])
                self.manifest["status"] = "complete"
            else:
                stopped = issubclass(kind, KeyboardInterrupt)
                self.manifest |= {
                    "status": "interrupted" if stopped else "failed",
                    "error": self._sentence(kind, error),
                }
            self.manifest["ended"] = _now()
            self._write()
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def _write(self) -> None:
        write_json_atomic(self.path / MANIFEST, self.manifest)

    def _sentence(self, kind: type[BaseException], error: BaseException | None) -> str:
        """The error without folders of this machine, since manifests are shared."""
        text = f"{kind.__name__}: {error}".replace(str(self.path.resolve()), ".").replace(str(self.path), ".")
        return text.replace(str(Path.home()), "~")


def open_run(
    root: Path, recipe: str, config: Mapping[str, Any], inputs: Mapping[str, Path] | None = None, slug: str = ""
) -> Run:
    """The run folder for this recipe, config and inputs: an earlier one when there is one, else a new one.

    Args:
        root: folder of all runs, such as `runs`.
        recipe: `analysis/offsets`; becomes a folder below root.
        config: the recipe's settings; the top-level key `compute` and paths are not hashed.
        inputs: artifacts it reads, by name: run folders, activation stores, model folders or files.
        slug: lower-case letters, digits, dots and hyphens for people to recognise the run by.

    Returns:
        A run; nothing is written before `with run:`. Ask `run.complete` first.

    Raises:
        ConfigError: a bad slug, or an input that is missing, unfinished or of no known kind.
    """
    if slug and not _SLUG.fullmatch(slug):
        raise ConfigError(f"slug {slug!r}: use lower-case letters, digits, dots and hyphens")
    hashes = {name: {"name": Path(path).name, "hash": input_hash(path)} for name, path in (inputs or {}).items()}
    identity = {
        "version": VERSION,
        "recipe": recipe,
        "config": _science(config),
        "inputs": {name: item["hash"] for name, item in hashes.items()},
    }
    digest = sha256_json(identity)
    folder = Path(root) / recipe
    for path in sorted(folder.glob(f"*_{digest[:8]}"), reverse=True):
        if (path / MANIFEST).exists():
            manifest = read_manifest(path, FORMAT, VERSION)
            if manifest["config_hash"] == digest:
                return Run(path, manifest, dict(config))
    name = "_".join(part for part in (f"{datetime.now(UTC):%Y-%m-%d}", slug, digest[:8]) if part)
    return Run(folder / name, _new_manifest(recipe, digest, hashes, config), dict(config))


def _new_manifest(recipe: str, digest: str, inputs: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "status": "new",
        "recipe": recipe,
        "config_hash": digest,
        "inputs": inputs,
        "seeds": _seeds(config),
        "notes": {},
        "attempts": 0,
        "started": _now(),
        "seconds": 0.0,
        "outputs": {},
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _science(config: Mapping[str, Any]) -> dict[str, Any]:
    """The half of a config that can change a number."""
    return _without_places({key: value for key, value in config.items() if key != "compute"})


def _without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_places(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if not isinstance(value, PurePath)
    }


def _seeds(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every setting whose name ends in seed or seeds, wherever it stands."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= _seeds(value, f"{prefix}{key}.")
        elif str(key).endswith(("seed", "seeds")):
            found[f"{prefix}{key}"] = value
    return found
