"""What made a result: package versions, the fingerprint of a model folder, the revision of a checkout."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from multidir.errors import ConfigError, ModelError
from multidir.store.atomic import sha256_bytes, sha256_file, sha256_json, write_json_atomic

log = logging.getLogger(__name__)

PACKAGES = ("multidir", "torch", "transformers", "numpy", "h5py")
"""Whose versions are recorded with every result."""

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
)


def versions() -> dict[str, str]:
    """Installed versions by package name, and of Python; packages that are not there are left out.

    Nothing is imported, so this stays light where torch is not needed.
    """
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            log.debug("%s is not installed", package)
    return found


def fingerprint_model(folder: Path) -> str:
    """One hash for what a model folder computes: config, weights and tokenizer with its chat template.

    Weights are safetensors when there are any, else the first other kind found, as a loader would choose.
    File hashes are remembered in the user's cache folder by size and modification time, so that a second
    call on the same files reads nothing.

    Args:
        folder: a model as `save_pretrained` writes it; links are followed.

    Returns:
        64 hexadecimal digits.

    Raises:
        ModelError: the folder has no config.json or no weights.
    """
    folder = Path(folder)
    weights = next((found for pattern in _WEIGHTS if (found := sorted(folder.glob(pattern)))), [])
    config = folder / "config.json"
    if not weights or not (config.exists() or weights[0].suffix == ".gguf"):
        missing = "weights" if config.exists() else "config.json"
        raise ModelError(
            f"{folder} is not a model folder: no {missing} in it; give the folder that save_pretrained wrote"
        )
    files = [config, *weights, *(folder / name for name in _TOKENIZER)]
    return sha256_json({file.name: _cached_sha256(file) for file in files if file.exists()})


def _cached_sha256(file: Path) -> str:
    status = file.stat()
    key = sha256_bytes(str(file.resolve()).encode())
    entry = cache_folder() / "hashes" / f"{key[:32]}.json"
    stamp = [status.st_size, status.st_mtime_ns]
    try:
        known = json.loads(entry.read_bytes())
        if known["stamp"] == stamp:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        log.debug("no remembered hash of %s", file)
    digest = sha256_file(file)
    try:
        write_json_atomic(entry, {"stamp": stamp, "sha256": digest})
    except ConfigError as error:  # a cache that cannot be written costs time, nothing else
        log.debug("hash of %s is not remembered: %s", file, error)
    return digest


def cache_folder() -> Path:
    """What multidir remembers between runs: `MULTIDIR_CACHE`, or `multidir` in the user's cache folder."""
    named = os.environ.get("MULTIDIR_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else base / "multidir"


@cache
def git_revision() -> str | None:
    """Commit of the checkout this package runs from, `+` added when files differ from it; None outside one."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}{'+' * bool(changed)}"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
