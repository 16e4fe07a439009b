"""Fills an activation store: both models of a pair over the same tokens, stopping at the last site."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from multidir import resources
from multidir.config import Compute
from multidir.errors import DesignError
from multidir.models.capture import capture
from multidir.models.load import LanguageModel, load_model
from multidir.models.special import SpecialMap
from multidir.records.pair import Pair
from multidir.records.site import Site
from multidir.records.text import Trace
from multidir.store.activations import ActivationStore
from multidir.store.spec import StoreSpec
from multidir.types import Role

log = logging.getLogger(__name__)


def load_special_map(pair: Pair) -> SpecialMap:
    """The table of a pair, empty when it has none."""
    return SpecialMap() if pair.special_map is None else SpecialMap.load(resources.locate(pair.special_map))


def capture_store(
    path: Path, pair: Pair, compute: Compute, traces: Sequence[Trace], sites: tuple[Site, ...], dtype: str
) -> ActivationStore:
    """Capture what is missing and open the store.

    Traces that a model cannot read are left out, each with its reason in the log and in the store.

    Raises:
        DesignError: no trace can be read by both models.
        ConfigError: a site beyond the model.
    """
    deepest = max(site.layer for site in sites)
    models = {
        role: load_model(pair.source(role), role, compute.device, compute.dtype, upto_layer=deepest)
        for role in pair.roles
    }
    readings, skipped = readable(traces, models, load_special_map(pair))
    for trace_id, reason in skipped.items():
        log.warning("trace %s is left out: %s", trace_id, reason)
    if not readings:
        first = next(iter(skipped.values()), "there are none")
        raise DesignError(f"none of {len(traces)} traces can be read by every model; the first reason: {first}")
    spec = _spec(models, sites, dtype, skipped)
    usable = [trace for trace in traces if trace.id in readings]
    with ActivationStore.create(path, spec) as writer:
        done = {index for index, trace in enumerate(usable) if trace.id in writer.done}
        streams = [
            capture(lm, [readings[trace.id][role] for trace in usable], sites, compute.batch_tokens, done)
            for role, lm in models.items()
        ]
        bar = tqdm(total=len(usable), initial=len(done), desc="activations", unit="trace", mininterval=1)
        for found in zip(*streams, strict=True):
            writer.append(usable[found[0][0]], _merged(tuple(models), found))
            bar.update()
        bar.close()
    return ActivationStore.open(path)


def readable(
    traces: Sequence[Trace], models: dict[Role, LanguageModel], special_map: SpecialMap
) -> tuple[dict[str, dict[Role, tuple[int, ...]]], dict[str, str]]:
    """The ids each model reads for each trace, and the reason for every trace that some model cannot read."""
    readings: dict[str, dict[Role, tuple[int, ...]]] = {}
    skipped: dict[str, str] = {}
    for trace in traces:
        reasons = list(_reasons(trace, models, special_map))
        if reasons:
            skipped[trace.id] = "; ".join(reasons)
        else:
            readings[trace.id] = {
                role: special_map.apply(trace.token_ids) if role == "base" else trace.token_ids for role in models
            }
    return readings, skipped


def _reasons(trace: Trace, models: dict[Role, LanguageModel], special_map: SpecialMap) -> Iterator[str]:
    for role, lm in models.items():
        table = special_map if role == "base" else SpecialMap()
        yield from table.problems(trace.token_ids, lm.vocab_size)
        if lm.max_positions is not None and len(trace.token_ids) > lm.max_positions:
            yield f"{len(trace.token_ids)} tokens are more than the {lm.max_positions} positions of the {role} model"


def _merged(roles: Sequence[Role], found: Sequence[tuple[int, dict[Site, Any]]]) -> dict[tuple[Role, Site], Any]:
    return {(role, site): rows for role, (_, sites) in zip(roles, found, strict=True) for site, rows in sites.items()}


def _spec(models: dict[Role, LanguageModel], sites: tuple[Site, ...], dtype: str, skipped: dict[str, str]) -> StoreSpec:
    first = next(iter(models.values()))
    return StoreSpec(
        models={role: {"fingerprint": lm.fingerprint, "source": lm.source} for role, lm in models.items()},
        sites=sites,
        d=first.d,
        dtype=dtype,
        provenance={"skipped": skipped, "compute_dtype": str(first.dtype)},
    )
