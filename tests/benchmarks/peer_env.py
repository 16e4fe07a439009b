"""A virtual environment for peers that cannot be installed beside us: made once, under a cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measure import note

ROOT = Path(__file__).resolve().parents[2]


def peer_python(name: str, requirements: Sequence[str], forced: Sequence[str] = ()) -> Path:
    """The interpreter of an environment that holds these packages; takes minutes the first time.

    Args:
        name: for the folder.
        requirements: as pip takes them, with exact versions.
        forced: installed without what they ask for, as some still ask for an older transformers or numpy.
    """
    digest = hashlib.sha256("\n".join([sys.version, *requirements, *forced]).encode()).hexdigest()[:8]
    named = os.environ.get("MULTIDIR_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "multidir"
    folder = base / "peers" / f"{name}-{digest}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        note(f"making {folder} with {', '.join(requirements)}; this takes some minutes, once")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *requirements], check=True, stdout=sys.stderr)
        if forced:
            command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", *forced]
            subprocess.run(command, check=True, stdout=sys.stderr)
        done.touch()
    return python


def run_there(python: Path, module: str, *arguments: str) -> str:
    """Standard output of a module of this checkout, run by that interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [str(python), "-m", module, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment).stdout
