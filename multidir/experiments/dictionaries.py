"""Trains dictionaries on a store, writes each as an SAE folder, and measures what was written on rows held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from multidir.errors import ConfigError, FormatError
from multidir.experiments.results import Results
from multidir.records.site import Site
from multidir.sae.dictionary import Dictionary
from multidir.sae.export import to_dictionary
from multidir.sae.folder import hook_name, read_folder, write_folder
from multidir.sae.parallel import Group
from multidir.sae.precision import product_format
from multidir.sae.quality import measure_quality
from multidir.sae.source import StoreSource
from multidir.sae.spec import Architecture, DictionarySpec, Training
from multidir.sae.split import Split, Unit, split_rows
from multidir.sae.train import Job, Pace, Run, train
from multidir.store.activations import ActivationStore
from multidir.store.shuffle import Shuffle
from multidir.store.spec import Key
from multidir.types import Role

CHECKPOINT = "checkpoint.safetensors"

NESTED = (8, 4, 2)
"""Inner dictionaries of a matryoshka one: the width divided by these."""


class DictionaryScience(Protocol):
    """What training dictionaries needs to be told."""

    @property
    def site(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def model(self) -> tuple[Role, ...]: ...  # noqa: D102
    @property
    def arch(self) -> tuple[Architecture, ...]: ...  # noqa: D102
    @property
    def width(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def k(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def seed(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def held_out(self) -> float: ...  # noqa: D102
    @property
    def split_by(self) -> Unit: ...  # noqa: D102
    @property
    def order_seed(self) -> int: ...  # noqa: D102
    @property
    def training(self) -> Training: ...  # noqa: D102


def open_store(path: Path) -> ActivationStore:
    """A store by its own folder, or by the run folder of data/activations."""
    return ActivationStore.open(path / "store" if (path / "store").is_dir() else path)


def jobs_of(science: DictionaryScience, d: int) -> list[Job]:
    """Every combination of site, model, architecture, width, k and seed; a crosscoder reads both models.

    Raises:
        ConfigError: sizes that contradict each other.
    """
    found: dict[str, Job] = {}
    for site, role, arch, width, k, seed in product(
        science.site, science.model, science.arch, science.width, science.k, science.seed
    ):
        roles: tuple[Role, ...] = ("base", "reasoning") if arch == "crosscoder" else (role,)
        nested = tuple(width // part for part in NESTED) if arch == "matryoshka" else ()
        spec = DictionarySpec(arch, d * len(roles), width, k, seed, nested)
        job = Job(spec, tuple((each, Site.parse(site)) for each in roles))
        found[job.name] = job
    return list(found.values())


def train_dictionaries(
    store: ActivationStore, science: DictionaryScience, folder: Path, device: str, dtype: str, group: Group
) -> Results | None:
    """Train, write and measure; nothing comes back in processes that do not lead.

    Raises:
        ConfigError: settings that contradict each other, or a checkpoint of other settings.
        DesignError: too few rows or prompts, or unusable channels.
    """
    jobs, training = jobs_of(science, store.d), science.training
    keys = tuple(dict.fromkeys(key for job in jobs for key in job.keys))
    split = split_rows(store, science.held_out, science.split_by, science.order_seed)
    shuffle = Shuffle(batch_rows=training.batch, seed=science.order_seed)
    source = StoreSource(store, keys, shuffle, split.train, device, group)
    rows = {key: torch.from_numpy(store.rows(*key, split.report)).to(device) for key in keys} if group.leads else None
    run = train(
        jobs,
        source,
        training,
        rows,
        Path(group.agreed(str(folder))) / CHECKPOINT,
        Pace(log=max(1, training.steps // 40), save=max(1, training.steps // 20)),
        group,
        product_format(device, dtype),
    )
    if not group.leads:
        return None
    facts = {"store": store.content_hash, "mixing": round(source.collision_ratio(), 4)}
    table = pd.DataFrame(list(_written(run, store, split, folder, facts)))
    best = table.sort_values("fvu").iloc[0]
    headline = (
        f"{len(table)} dictionar{'y' if len(table) == 1 else 'ies'} from {training.steps * training.batch:,} tokens; "
        f"best FVU on held-out {science.split_by}s {best['fvu']:.3f} at L0 {best['l0']:.1f} ({best['name']})"
    )
    return Results({"dictionaries": table, "curve": pd.DataFrame(run.curve)}, headline)


def _written(
    run: Run, store: ActivationStore, split: Split, folder: Path, facts: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Write every dictionary, read it back, and measure what was read."""
    rng = np.random.default_rng(0)
    for job, learner in zip(run.jobs, run.learners, strict=True):
        calibrate, report = (side_by_side(store, job.keys, rows) for rows in (split.calibrate, split.report))
        scale = run.prepared.scales(job.keys)
        made = to_dictionary(learner, scale, calibrate, {**_metadata(job, store), "multidir": _origin(job, run, facts)})
        path = folder / job.name
        write_folder(path, made.to("cpu"))
        read = read_folder(path)
        _compare(made.to("cpu"), read, report, path)
        found = measure_quality(read, report, _numbered(split.unit[split.report]))
        intervals = found.estimates(rng)
        yield {
            "name": job.name,
            "architecture": job.spec.architecture,
            "role": "+".join(role for role, _ in job.keys),
            "site": str(job.keys[0][1]),
            "width": job.spec.width,
            "k": job.spec.k,
            "seed": job.spec.seed,
            **{f"{name}{end}": value for name, e in intervals.items() for end, value in _ends(e).items()},
            "dead": float(learner.dead.float().mean()),
            "silent": found.silent,
            "rows": found.n,
            "clusters": len(np.unique(split.unit[split.report])),
        }


def _ends(estimate: Any) -> dict[str, float]:
    return {"": estimate.value, "_low": estimate.low, "_high": estimate.high}


def _numbered(units: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = np.unique(units, return_inverse=True)[1]
    return found


def _compare(made: Dictionary, read: Dictionary, rows: Tensor, path: Path) -> None:
    """What was read has to encode as what was written, bit for bit."""
    sample = rows[:256]
    if not torch.equal(made.encode(sample), read.encode(sample)):
        raise FormatError(f"{path} does not give back what was written; the disk or its memory is at fault")


def side_by_side(store: ActivationStore, keys: Sequence[Key], index: Any) -> Tensor:
    """(m, d) float32 rows as stored; for a crosscoder both models' rows of the same tokens."""
    return torch.cat([torch.from_numpy(store.rows(*key, index)) for key in keys], 1)


def _metadata(job: Job, store: ActivationStore) -> dict[str, Any]:
    """What SAELens looks for: the models that the rows are from, as the store knows them, and the site."""
    models = [
        str(store.spec.models[role].get("source") or store.spec.models[role]["fingerprint"]) for role, _ in job.keys
    ]
    longest = max((info.n_tokens for info in store.traces), default=0)
    return {
        "model_name": " + ".join(models),
        "hook_name": hook_name(job.keys[0][1]),
        "hook_head_index": None,
        "context_size": longest,
        "store_hash": store.content_hash,
    }


def _origin(job: Job, run: Run, facts: dict[str, Any]) -> dict[str, Any]:
    """Everything else that says how a dictionary came about."""
    spec = {"architecture": job.spec.architecture, "k": job.spec.k, "seed": job.spec.seed, "nested": job.spec.nested}
    roles = [role for role, _ in job.keys]
    scale = [run.prepared.scale[key] for key in job.keys]
    return {
        **spec,
        "roles": roles,
        "site": str(job.keys[0][1]),
        "scale": scale,
        "steps": run.learners[0].steps,
        **facts,
    }


def dictionary_folders(run: Path) -> list[Path]:
    """The SAE folders in a run folder of train/sae, or the folder itself when it is one.

    Raises:
        ConfigError: there is none.
    """
    if (run / "cfg.json").is_file():
        return [run]
    found = sorted(file.parent for file in run.glob("*/cfg.json"))
    if not found:
        raise ConfigError(f"{run} holds no SAE folder; give a run of train/sae or a folder with cfg.json")
    return found
