"""Trains dictionaries, writes each as an SAE folder, and measures what was written on rows held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from multidir.errors import ConfigError, FormatError
from multidir.experiments.dictionaries.data import Data
from multidir.experiments.dictionaries.settings import DictionaryChoice
from multidir.experiments.results import Results
from multidir.sae.dictionary import Dictionary
from multidir.sae.export import as_trained, finished
from multidir.sae.folder import CONFIG, WEIGHTS, hook_name, read_folder, write_folder
from multidir.sae.parallel import Group
from multidir.sae.precision import product_format
from multidir.sae.prepare import SAMPLE_ROWS, Prepared, prepare
from multidir.sae.quality import measure_quality
from multidir.sae.source import Source
from multidir.sae.spec import Training
from multidir.sae.train import Job, Pace, train
from multidir.stats.estimate import Estimate
from multidir.store.activations import ActivationStore
from multidir.store.spec import Key

CHECKPOINT = "checkpoint.safetensors"


def train_dictionaries(
    data: Data, choice: DictionaryChoice, folder: Path, device: str, dtype: str, group: Group
) -> Results | None:
    """Train, write and measure; nothing comes back in processes that do not lead.

    Raises:
        ConfigError: settings that contradict each other, or a checkpoint of other settings.
        DesignError: unusable channels.
    """
    jobs, source, training = data.jobs, data.source, choice.training
    if choice.backend == "sae_lens":
        prepared, curve = prepare(source.sample(SAMPLE_ROWS), training), pd.DataFrame()
        trained = _by_saelens(jobs, source, training, prepared, group)
    else:
        rows = {key: each.to(device) for key, each in data.held_out.items()}
        pace = Pace(log=max(1, training.steps // 40), save=max(1, training.steps // 20))
        checkpoint = Path(group.agreed(str(folder))) / CHECKPOINT
        run = train(jobs, source, training, rows or None, checkpoint, pace, group, product_format(device, dtype))
        prepared, curve = run.prepared, pd.DataFrame(run.curve)
        trained = (as_trained(learner, {}).to("cpu") for learner in run.learners)
    if not group.leads:
        return None
    origin = {"steps": training.steps, "backend": choice.backend, **data.origin}
    written = _Written(data, prepared, folder, origin)
    table = pd.DataFrame([written.one(job, each) for job, each in zip(jobs, trained, strict=True)])
    best = table.sort_values("fvu").iloc[0]
    headline = (
        f"{len(table)} dictionar{'y' if len(table) == 1 else 'ies'} from {training.steps * training.batch:,} tokens; "
        f"best FVU on held-out {choice.split_by}s {best['fvu']:.3f} at L0 {best['l0']:.1f} ({best['name']})"
    )
    return Results({"dictionaries": table} | ({} if curve.empty else {"curve": curve}), headline)


def _by_saelens(
    jobs: Sequence[Job], source: Source, training: Training, prepared: Prepared, group: Group
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

    data: Data
    prepared: Prepared
    folder: Path
    origin: dict[str, Any]

    def one(self, job: Job, trained: Dictionary) -> dict[str, Any]:
        """One line of the table."""
        rows = self.data.rows(job)
        made = finished(trained, self.prepared.scales(job.keys), rows, job.spec.k)
        made = replace(made, facts={**self._metadata(job), "multidir": self._origin(job)})
        path = self.folder / job.name
        write_folder(path, made)
        read = read_folder(path)
        if not torch.equal(made.encode(rows[:256]), read.encode(rows[:256])):
            raise FormatError(f"{path} does not give back what was written; the disk or its memory is at fault")
        found = measure_quality(read, rows, self.data.unit)
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

    def _metadata(self, job: Job) -> dict[str, Any]:
        """What SAELens looks for: the models that the rows are from, by their true names, and the site."""
        return {
            "model_name": " + ".join(self.data.models[role] for role, _ in job.keys),
            "hook_name": hook_name(job.keys[0][1]),
            "hook_head_index": None,
            **self.data.facts,
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
