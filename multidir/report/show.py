"""Says in words what any artifact holds: a run, an activation store, a dictionary, a direction set, a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multidir.errors import ConfigError
from multidir.exchange.read import read_directions
from multidir.experiments.results import read_verdicts
from multidir.records.direction import DirectionSet
from multidir.report.plot import Plot, save
from multidir.report.run_figures import plots_of
from multidir.report.show_store import describe_store, store_figures
from multidir.store.activations import ActivationStore
from multidir.store.manifest_file import MANIFEST, read_manifest
from multidir.store.plain import plain
from multidir.store.run_files import verify_run

_SAE = "cfg.json"

BAR = 40
"""Width of the widest bar of a small plot, in characters."""


def show(path: Path) -> str:
    """A few lines about an artifact.

    Raises:
        ConfigError: nothing there, or nothing that multidir wrote.
        FormatError: an artifact that is broken.
    """
    if not path.exists():
        raise ConfigError(f"{path} does not exist; give a run folder, an activation store or a file of multidir")
    if path.suffix in (".safetensors", ".gguf"):
        return "\n".join(_directions(read_directions(path)))
    if path.suffix in (".csv", ".jsonl"):
        return "\n".join(_table(path))
    if (path / _SAE).is_file():
        return "\n".join(_dictionary(path))
    if not (path / MANIFEST).is_file():
        raise ConfigError(f"{path} is nothing that multidir wrote: it has no {MANIFEST}")
    manifest = read_manifest(path)
    return "\n".join(_run(path, manifest) if "recipe" in manifest else describe_store(ActivationStore.open(path)))


def facts(path: Path) -> dict[str, Any]:
    """What `show` says of a run or store, as values for another program; of anything else, its lines.

    Raises:
        ConfigError: as `show`.
        FormatError: as `show`.
    """
    if not (path / MANIFEST).is_file():
        return {"path": path, "text": show(path).splitlines()}
    manifest = read_manifest(path)
    if "recipe" not in manifest:
        return {"path": path, "manifest": manifest}
    kept = ("recipe", "status", "seconds", "inputs", "seeds", "versions", "outputs")
    headline = manifest["notes"].get("headline", "")
    verdicts = [plain(verdict) for verdict in read_verdicts(path)]
    return {"path": path, "headline": headline, "verdicts": verdicts, **{k: manifest.get(k) for k in kept}}


def verify(path: Path) -> list[str]:
    """One sentence per file that is not as it was written; nothing when all is well.

    Raises:
        FormatError: not a run or store.
    """
    return verify_run(path) if "recipe" in read_manifest(path) else ActivationStore.open(path).verify()


def draw_figures(path: Path, folder: Path) -> list[Path]:
    """Draw what there is to draw of a run or store, each figure as SVG, PNG and CSV.

    Raises:
        ConfigError: there is nothing to draw, or the folder cannot be written.
        FormatError: not a run or store.
    """
    plots = plots_at(path)
    if not plots:
        raise ConfigError(f"{path} holds nothing to draw; give an activation store, or a run that writes figures")
    return [file for plot in plots for file in save(plot, folder)]


def plots_at(path: Path) -> list[Plot]:
    """The figures of a run's tables, or of the activations that a run or store holds.

    Raises:
        FormatError: not a run or store.
    """
    manifest = read_manifest(path)
    drawn = plots_of(manifest["recipe"], path) if "recipe" in manifest else []
    store = "recipe" not in manifest or (path / "store" / MANIFEST).is_file()
    return drawn or (store_figures(ActivationStore.open(path)) if store else [])


def found_in(path: Path) -> Iterator[str]:
    """What a run found: lines without times, places, versions and sizes, the same wherever it is run again.

    Raises:
        FormatError: not a run.
    """
    notes = read_manifest(path)["notes"]
    if notes.get("headline"):
        yield f"  found    {notes['headline']}"
    yield from (f"  verdict  {verdict}" for verdict in read_verdicts(path))
    yield from (f"  note     {remark}" for remark in notes.get("remarks", ()))


def _run(path: Path, manifest: dict[str, Any]) -> Iterator[str]:
    yield f"run of {manifest['recipe']}, {manifest['status']}, {manifest['seconds']:.1f} s"
    yield f"  started  {manifest['started']}"
    yield from found_in(path)
    for name, item in manifest["inputs"].items():
        yield f"  from     {name}: {item['name']}"
    for name, value in manifest["seeds"].items():
        yield f"  seed     {name}: {value}"
    yield f"  versions {', '.join(f'{name} {version}' for name, version in manifest.get('versions', {}).items())}"
    for name, item in manifest["outputs"].items():
        yield f"  wrote    {name} ({item['bytes']:,} bytes)"
    for folder in sorted(path.glob("*/manifest.json")):
        yield f"  holds    an activation store; see `multidir show {folder.parent}`"
    for folder in sorted(path.glob(f"*/{_SAE}")):
        yield f"  holds    a sparse autoencoder; see `multidir show {folder.parent}`"


def _directions(directions: DirectionSet) -> Iterator[str]:
    yield f"{directions.summary}, lengths in residual-stream units"
    longest, width = max(item.length for item in directions), max(map(len, directions.names))
    place = max(len(str(item.site)) for item in directions)
    for item in directions:
        bar = "█" * max(1, round(BAR * item.length / longest))
        yield f"  {item.name:<{width}}  {item.site!s:<{place}}  {item.length:8.4g}  {bar}"


def _dictionary(path: Path) -> Iterator[str]:
    from multidir.sae.folder import read_config  # brings torch, which nothing else here needs

    config = read_config(path)
    facts = config.get("metadata", {})
    origin = facts.get("multidir") or {}
    limit = f", k {config['k']}" if "k" in config else ""
    yield f"sparse autoencoder: {config['d_sae']} latents over width {config['d_in']}, {config['architecture']}{limit}"
    yield f"  model    {facts.get('model_name') or 'not said'}"
    yield f"  site     {facts.get('hook_name') or 'not said'}"
    for name in ("architecture", "k", "seed", "steps", "roles"):
        if name in origin:
            yield f"  {name:<8} {origin[name]}"


def _table(path: Path) -> Iterator[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    yield f"{path.name}: {len(lines) - (path.suffix == '.csv')} rows"
    yield from (f"  {line[:200]}" for line in lines[:5])
