"""Trains dictionaries on a store, writes each as an SAE folder, and measures what was written on rows held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from multidir.errors import ConfigError, FormatError
from multidir.experiments.results import Results
from multidir.records.site import Site
from multidir.sae.dictionary import Dictionary
from multidir.sae.export import as_trained, finished
from multidir.sae.folder import CONFIG, WEIGHTS, hook_name, read_folder, write_folder
from multidir.sae.parallel import Group
from multidir.sae.precision import product_format
from multidir.sae.prepare import SAMPLE_ROWS, Prepared, prepare
from multidir.sae.quality import measure_quality
from multidir.sae.source import StoreSource
from multidir.sae.spec import Architecture, DictionarySpec, Training
from multidir.sae.split import Split, Unit, split_rows
from multidir.sae.train import Job, Pace, train
from multidir.stats.estimate import Estimate
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
    @property
    def backend(self) -> Literal["multidir", "sae_lens"]: ...  # noqa: D102


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
    if science.backend == "sae_lens":
        prepared, curve = prepare(source.sample(SAMPLE_ROWS), training), pd.DataFrame()
        trained = _by_saelens(jobs, source, training, prepared, group)
    else:
        rows = {key: torch.from_numpy(store.rows(*key, split.held_out)).to(device) for key in keys if group.leads}
        pace = Pace(log=max(1, training.steps // 40), save=max(1, training.steps // 20))
        checkpoint = Path(group.agreed(str(folder))) / CHECKPOINT
        run = train(jobs, source, training, rows or None, checkpoint, pace, group, product_format(device, dtype))
        prepared, curve = run.prepared, pd.DataFrame(run.curve)
        trained = (as_trained(learner, {}).to("cpu") for learner in run.learners)
    if not group.leads:
        return None
    held_out = {"share": science.held_out, "by": science.split_by, "seed": science.order_seed}
    origin: dict[str, Any] = {"steps": training.steps, "backend": science.backend, "held_out": held_out}
    origin["mixing"] = round(source.collision_ratio(), 4)
    written = _Written(store, split, prepared, folder, origin)
    table = pd.DataFrame([written.one(job, each) for job, each in zip(jobs, trained, strict=True)])
    best = table.sort_values("fvu").iloc[0]
    headline = (
        f"{len(table)} dictionar{'y' if len(table) == 1 else 'ies'} from {training.steps * training.batch:,} tokens; "
        f"best FVU on held-out {science.split_by}s {best['fvu']:.3f} at L0 {best['l0']:.1f} ({best['name']})"
    )
    return Results({"dictionaries": table} | ({} if curve.empty else {"curve": curve}), headline)


def _by_saelens(
    jobs: Sequence[Job], source: StoreSource, training: Training, prepared: Prepared, group: Group
) -> Iterator[Dictionary]:
    """One dictionary after the other, each from a pass of its own, by SAELens' trainer."""
    if group.size > 1:
        raise ConfigError("SAELens trains in one process; start it without torchrun")
    from multidir.sae.lens_backend import train_with_saelens

    for job in jobs:
        batches = (prepared.joined(batch, job.keys).cpu() for batch in source.batches(0))
        yield train_with_saelens(job.spec, training, batches, {})


@dataclass(frozen=True)
class _Written:
    """Finishes dictionaries, writes them, reads them back, and measures what was read."""

    store: ActivationStore
    split: Split
    prepared: Prepared
    folder: Path
    origin: dict[str, Any]

    def one(self, job: Job, trained: Dictionary) -> dict[str, Any]:
        """One line of the table."""
        rows = side_by_side(self.store, job.keys, self.split.held_out)
        made = finished(trained, self.prepared.scales(job.keys), rows, job.spec.k)
        made = replace(made, facts={**_metadata(job, self.store), "multidir": self._origin(job)})
        path = self.folder / job.name
        write_folder(path, made)
        read = read_folder(path)
        if not torch.equal(made.encode(rows[:256]), read.encode(rows[:256])):
            raise FormatError(f"{path} does not give back what was written; the disk or its memory is at fault")
        units = np.unique(self.split.unit[self.split.held_out], return_inverse=True)[1]
        found = measure_quality(read, rows, units)
        return {
            "name": job.name,
            "architecture": job.spec.architecture,
            "role": "+".join(role for role, _ in job.keys),
            "site": str(job.keys[0][1]),
            "width": job.spec.width,
            "k": job.spec.k,
            "seed": job.spec.seed,
            **flat(found.estimates(np.random.default_rng(0))),
            "silent": found.silent,
            "rows": found.n,
            "clusters": len(found.rows),
        }

    def _origin(self, job: Job) -> dict[str, Any]:
        """Everything that says how a dictionary came about and that SAELens has no name for."""
        place = {"roles": [role for role, _ in job.keys], "site": str(job.keys[0][1])}
        scale = [self.prepared.scale[key] for key in job.keys]
        return {**asdict(job.spec), **place, "scale": scale, **self.origin}


def flat(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """Estimates as columns: `fvu`, `fvu_low`, `fvu_high`."""
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {f"{name}{end}": getattr(e, field) for name, e in estimates.items() for end, field in ends.items()}


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


def dictionary_sources(source: str) -> dict[str, str]:
    """What `load_dictionary` takes, by name: the folders of a run of train/sae, a single folder, or a name as it is.

    Raises:
        ConfigError: a folder that holds no SAE folder.
    """
    path = Path(source)
    if not path.is_dir():
        return {source: source}
    if (path / CONFIG).is_file():
        return {path.name: source}
    found = {file.parent.name: str(file.parent) for file in sorted(path.glob(f"*/{CONFIG}"))}
    if not found:
        raise ConfigError(f"{path} holds no SAE folder; give a run of train/sae or a folder with {CONFIG}")
    return found


def dictionary_files(source: str) -> dict[str, Path]:
    """The files that say what the dictionaries are, as inputs of a run; none for a name of the hub."""
    folders = {name: Path(found) for name, found in dictionary_sources(source).items()}
    return {f"{name}/{file}": at / file for name, at in folders.items() if at.is_dir() for file in (CONFIG, WEIGHTS)}
