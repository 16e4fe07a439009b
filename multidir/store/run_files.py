"""What a run folder holds: its outputs, hashed, and checked again later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from multidir.errors import ConfigError
from multidir.progress import each
from multidir.store.atomic import PARTIAL, sha256_file, sha256_json
from multidir.store.locks import NAME as LOCK
from multidir.store.manifest_file import MANIFEST, read_manifest
from multidir.store.provenance import fingerprint_model

FORMAT = "multidir-run"
VERSION = 1
CONFIG = "config.json"


def input_hash(path: Path) -> str:
    """Content hash of an artifact: of a run its outputs, of a store its content, of a model its fingerprint.

    Of a folder with a `cfg.json`, as SAELens writes for an SAE, it is the hash of that file and the weights.

    Raises:
        ConfigError: nothing is there, a run is not complete, or the folder is of no known kind.
        FormatError: the folder's manifest is broken.
    """
    path = Path(path)
    if path.is_file():
        return sha256_file(path)
    if (path / MANIFEST).is_file():
        manifest = read_manifest(path)
        if "content_hash" in manifest:
            return str(manifest["content_hash"])
        if manifest.get("status") != "complete":
            raise ConfigError(f"input {path} is {manifest.get('status')!r}, not complete; finish that run first")
        return str(manifest["outputs_hash"])
    if (path / "config.json").is_file():
        return fingerprint_model(path)
    if (path / "cfg.json").is_file():
        files = [path / "cfg.json", *sorted(path.glob("*.safetensors"))]
        return sha256_json({file.name: sha256_file(file) for file in files})
    problem = "has no manifest.json, config.json or cfg.json" if path.exists() else "does not exist"
    raise ConfigError(f"input {path} {problem}; give a run, an activation store, a model or SAE folder, or a file")


def output_files(path: Path) -> Iterator[Path]:
    """Files of a run folder that are its results: not the manifest, the lock or unfinished files."""
    for file in sorted(path.rglob("*")):
        own = file.parent == path and file.name in (MANIFEST, LOCK)
        if file.is_file() and not own and file.suffix != PARTIAL:
            yield file


def hash_outputs(path: Path) -> dict[str, dict[str, Any]]:
    """sha256 and size of every output, by name relative to the folder."""
    return {
        file.relative_to(path).as_posix(): {"sha256": sha256_file(file), "bytes": file.stat().st_size}
        for file in output_files(path)
    }


def outputs_hash(outputs: Mapping[str, Mapping[str, Any]]) -> str:
    """One hash over all outputs; config.json is left out, because it also says where things ran."""
    return sha256_json({name: item["sha256"] for name, item in outputs.items() if name != CONFIG})


def missing_outputs(path: Path, manifest: Mapping[str, Any]) -> list[str]:
    """One sentence per output that is gone or has another size; reads no content."""
    problems = []
    for name, item in manifest["outputs"].items():
        file = path / name
        if not file.is_file():
            problems.append(f"{name} is missing")
        elif file.stat().st_size != item["bytes"]:
            problems.append(f"{name} has {file.stat().st_size} bytes, expected {item['bytes']}")
    return problems


def verify_run(path: Path) -> list[str]:
    """Hash the outputs of a run again and compare them with its manifest.

    Returns:
        One sentence per problem; empty when everything is as it was written.

    Raises:
        FormatError: the folder is not a run.
    """
    path = Path(path)
    manifest = read_manifest(path, FORMAT, VERSION)
    if manifest["status"] != "complete":
        return [f"the run is {manifest['status']!r}, not complete"]
    problems = missing_outputs(path, manifest)
    named = {problem.split(" ", 1)[0] for problem in problems}
    for name, item in each(manifest["outputs"].items(), "verifying", "file", len(manifest["outputs"])):
        if name not in named and sha256_file(path / name) != item["sha256"]:
            problems.append(f"{name} was changed after the run: its hash differs from the manifest")
    known = set(manifest["outputs"])
    extra = [file.relative_to(path).as_posix() for file in output_files(path)]
    problems += [f"{name} was added after the run" for name in extra if name not in known]
    return problems
