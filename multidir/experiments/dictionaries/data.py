"""What dictionaries are trained on: rows of a store, or rows straight from models that read traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidir.config import Compute
from multidir.errors import ConfigError, DesignError
from multidir.experiments.corpus.activations import load_special_map, readable
from multidir.experiments.dictionaries.settings import DictionaryChoice
from multidir.models.load import load_model
from multidir.records.pair import Pair
from multidir.records.site import Site
from multidir.records.text import Trace
from multidir.sae.live import CaptureSource
from multidir.sae.parallel import Group
from multidir.sae.source import Batch, Source, StoreSource, rows_hash
from multidir.sae.spec import DictionarySpec
from multidir.sae.split import choose_held_out, split_rows
from multidir.sae.train import Job
from multidir.store.activations import ActivationStore
from multidir.store.shuffle import Shuffle
from multidir.store.spec import Key
from multidir.types import IntArray, Role

NESTED = (8, 4, 2)
"""Inner dictionaries of a matryoshka one: the width divided by these."""

HELD_OUT_ROWS = 16_384
"""Held-out rows at most."""


@dataclass(frozen=True, eq=False)
class Data:
    """Rows to learn from and rows held out."""

    jobs: Sequence[Job]
    source: Source
    held_out: Batch
    """(m, d) rows as stored of each set of activations, on the CPU."""
    unit: IntArray
    """(m,) prompt or trace of each, numbered from 0."""
    models: Mapping[Role, str]
    """Names of the models."""
    facts: Mapping[str, Any]
    """Metadata for SAELens."""
    origin: Mapping[str, Any]
    """Further metadata of ours."""

    def rows(self, job: Job) -> Tensor:
        """(m, d) held-out rows that a job reads; for a crosscoder both models' side by side."""
        return torch.cat([self.held_out[key] for key in job.keys], 1)


def jobs_of(choice: DictionaryChoice, d: int) -> list[Job]:
    """Every combination of site, model, architecture, width, k and seed, each once.

    A crosscoder reads both models, and `standard` knows no k: its sparsity comes from the weight of its loss.

    Raises:
        ConfigError: sizes that contradict each other.
    """
    found: dict[str, Job] = {}
    for site, role, arch, width, k, seed in product(
        choice.site, choice.model, choice.arch, choice.width, choice.k, choice.seed
    ):
        if arch == "standard" and k != choice.k[0]:
            continue
        roles: tuple[Role, ...] = ("base", "reasoning") if arch == "crosscoder" else (role,)
        nested = tuple(width // part for part in NESTED) if arch == "matryoshka" else ()
        spec = DictionarySpec(arch, d * len(roles), width, k, seed, nested)
        job = Job(spec, tuple((each, Site.parse(site)) for each in roles))
        found[job.name] = job
    return list(found.values())


def _keys(jobs: Sequence[Job]) -> tuple[Key, ...]:
    return tuple(dict.fromkeys(key for job in jobs for key in job.keys))


def _held_out(choice: DictionaryChoice) -> dict[str, Any]:
    return {"share": choice.held_out, "by": choice.split_by, "seed": choice.order_seed}


def _numbered(units: IntArray) -> IntArray:
    found: IntArray = np.unique(units, return_inverse=True)[1]
    return found


def stored_data(store: ActivationStore, choice: DictionaryChoice, device: str, group: Group) -> Data:
    """Rows of a store.

    Raises:
        ConfigError: sets of activations that are not there, or sizes that contradict each other.
        DesignError: too few rows or prompts.
    """
    jobs = jobs_of(choice, store.d)
    keys = _keys(jobs)
    split = split_rows(store, **_held_out(choice), most=HELD_OUT_ROWS)
    shuffle = Shuffle(batch_rows=choice.training.batch, seed=choice.order_seed)
    source = StoreSource(store, keys, shuffle, split.train, device, group)
    return Data(
        jobs,
        source,
        {key: torch.from_numpy(store.rows(*key, split.held_out)) for key in keys if group.leads},
        _numbered(split.unit[split.held_out]),
        {role: _model_name(store.spec.models[role]) for role, _ in keys},
        {"context_size": max(info.n_tokens for info in store.traces), "store_hash": store.content_hash},
        {"held_out": _held_out(choice), "rows": rows_hash(store), "mixing": round(source.collision_ratio(), 4)},
    )


def _model_name(facts: dict[str, Any]) -> str:
    """What a store says of a model, by the first name that leads back to it; stores of other programs may have none."""
    return next((str(facts[key]) for key in ("source", "id", "fingerprint") if facts.get(key)), "unknown")


def live_data(
    traces: Sequence[Trace], pair: Pair, choice: DictionaryChoice, compute: Compute, device: str, group: Group
) -> Data:
    """Rows of models that read traces while dictionaries are trained; nothing is stored.

    Raises:
        ConfigError: several processes, or a site beyond a model.
        DesignError: too few prompts or rows, or no trace that every model can read.
    """
    if group.size > 1:
        raise ConfigError("models are read live in one process; store activations first to train in several")
    sites = [Site.parse(text) for text in choice.site]
    deepest = max(site.layer for site in sites)
    wanted = pair.roles if "crosscoder" in choice.arch else choice.model
    models = {role: load_model(pair.source(role), role, device, compute.dtype, upto_layer=deepest) for role in wanted}
    readings, _ = readable(traces, models, load_special_map(pair))
    usable = [trace for trace in traces if trace.id in readings]
    if not usable:
        raise DesignError(f"none of {len(traces)} traces can be read by every model")
    names = [trace.prompt_id if choice.split_by == "prompt" else trace.id for trace in usable]
    held, unit = choose_held_out(names, **_held_out(choice))
    texts = {role: [readings[trace.id][role] for trace in usable] for role in models}

    def source_of(chosen: IntArray, batch: int) -> CaptureSource:
        picked = {role: [each[i] for i in chosen] for role, each in texts.items()}
        return CaptureSource(
            models, picked, sites, batch, choice.order_seed, batch_tokens=compute.batch_tokens, device=device
        )

    out = np.flatnonzero(held)
    rows = np.repeat(unit[out], [len(usable[i].token_ids) - 1 for i in out])
    jobs = jobs_of(choice, next(iter(models.values())).d)
    return Data(
        jobs,
        source_of(np.flatnonzero(~held), choice.training.batch),
        {key: each[:HELD_OUT_ROWS].cpu() for key, each in source_of(out, 1).rows(range(len(out))).items()},
        _numbered(rows[:HELD_OUT_ROWS]),
        {role: lm.source for role, lm in models.items()},
        {"context_size": max(len(trace.token_ids) for trace in usable)},
        {"held_out": _held_out(choice), "live": True},
    )
