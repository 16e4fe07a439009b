"""Fills an activation store: both models of a pair over the same tokens, stopping at the last site."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from multidir import resources
from multidir.config import Compute
from multidir.errors import DesignError
from multidir.models.capture import STRETCH, capture
from multidir.models.describe import describe
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.models.pipeline import prefetch
from multidir.models.special import SpecialMap, differing_ids
from multidir.progress import progress
from multidir.records.pair import Pair
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.store.activations import ActivationStore
from multidir.store.atomic import sha256_json
from multidir.store.spec import StoreSpec
from multidir.store.writer import StoreWriter
from multidir.types import Role

log = logging.getLogger(__name__)


def load_special_map(pair: Pair) -> SpecialMap:
    """The table of a pair, empty when it has none."""
    return SpecialMap() if pair.special_map is None else SpecialMap.load(resources.locate(pair.special_map))


def capture_store(
    path: Path,
    pair: Pair,
    compute: Compute,
    traces: Sequence[Trace],
    sites: tuple[Site, ...],
    dtype: str,
    shard_rows: int = 0,
) -> ActivationStore:
    """Capture what is missing and open the store.

    Traces that a model cannot read are left out, each with its reason in the log and in the store.

    Raises:
        DesignError: no trace can be read by both models.
        ConfigError: a site beyond the model, or a store that was made with another spec.
    """
    deepest = max(site.layer for site in sites)
    models = {
        role: load_model(pair.source(role), role, compute.device, compute.dtype, upto_layer=deepest)
        for role in pair.roles
    }
    special_map = load_special_map(pair)
    readings, skipped = readable(traces, models, special_map)
    for trace_id, reason in skipped.items():
        log.warning("trace %s is left out: %s", trace_id, reason)
    if not readings:
        first = next(iter(skipped.values()), "there are none")
        raise DesignError(f"none of {len(traces)} traces can be read by every model; the first reason: {first}")
    spec = _spec(models, special_map, sites, dtype, shard_rows)
    usable = [trace for trace in traces if trace.id in readings]
    with ActivationStore.create(path, spec, usable, _source(usable, skipped, compute)) as writer:
        _fill(writer, usable, readings, models, spec, compute)
    return ActivationStore.open(path)


def _fill(
    writer: StoreWriter,
    traces: Sequence[Trace],
    readings: Mapping[str, Mapping[Role, tuple[int, ...]]],
    models: Mapping[Role, LanguageModel],
    spec: StoreSpec,
    compute: Compute,
) -> None:
    """Run every model over the traces that are not in the store yet, and append both readings of each."""
    missing = {trace.id for trace in writer.missing}
    done = {index for index, trace in enumerate(traces) if trace.id not in missing}
    # a stretch is never more than a shard, so that the model is not further ahead of the disk than that
    ahead = min(STRETCH * compute.batch_tokens, spec.shard_rows)
    how = (spec.sites, compute.batch_tokens, done, ahead, compute.compile_blocks)
    streams = [capture(lm, [readings[trace.id][role] for trace in traces], *how) for role, lm in models.items()]
    bar = progress(len(traces), "activations", "trace", len(done))
    with bar, closing(prefetch(zip(*streams, strict=True))) as captured:
        for found in captured:
            writer.append(traces[found[0][0]].id, _merged(tuple(models), found))
            bar.update()


def put_sentences(
    store: ActivationStore, sentences: Iterable[Sentence], window: tuple[int, int] | None
) -> dict[str, int]:
    """Add labels to a store, annotator by annotator; they replace an annotator's labels of the same traces only.

    Sentences of traces that are not in the store are passed over.

    Args:
        store: where to.
        sentences: of one or more annotators, in any order.
        window: token offsets over which sums per label are stored.

    Returns:
        Sentences put by annotator.
    """
    kept = {info.id for info in store.traces}
    by_name = sorted((s for s in sentences if s.trace_id in kept), key=attrgetter("annotator"))
    counts = {}
    for annotator, group in groupby(by_name, attrgetter("annotator")):
        new = list(group)
        traces = {sentence.trace_id for sentence in new}
        old = store.labels(annotator) if annotator in store.annotators else []
        store.put_labels(annotator, [s for s in old if s.trace_id not in traces] + new, window)
        counts[annotator] = len(new)
    return counts


def left_out(store: ActivationStore) -> str:
    """How many traces could not be captured, for the end of a sentence; nothing when there are none."""
    skipped = {name for source in store.manifest.sources for name in source.get("skipped", {})}
    return f"; {len(skipped)} left out, see the store's manifest" if skipped else ""


def readable(
    traces: Sequence[Trace], models: dict[Role, LanguageModel], special_map: SpecialMap
) -> tuple[dict[str, dict[Role, tuple[int, ...]]], dict[str, str]]:
    """The ids each model reads for each trace, and the reason for every trace that some model cannot read."""
    readings: dict[str, dict[Role, tuple[int, ...]]] = {}
    skipped: dict[str, str] = {}
    unmapped = _unmapped(models, special_map)
    for trace in traces:
        reasons = dict.fromkeys(_reasons(trace, models, special_map, unmapped))
        if reasons:
            skipped[trace.id] = "; ".join(reasons)
        else:
            readings[trace.id] = {
                role: special_map.apply(trace.token_ids) if role == "base" else trace.token_ids for role in models
            }
    return readings, skipped


def _unmapped(models: dict[Role, LanguageModel], special_map: SpecialMap) -> dict[int, str]:
    """Ids that mean something else to the base model, and that the special map does not cover, with the reason."""
    if len(models) < 2:
        return {}
    found = differing_ids(models["reasoning"].tokenizer, models["base"].tokenizer)
    return {
        index: f"token {index} is {theirs!r} to the reasoning model and {ours or 'nothing'!r} to the base model: the "
        "special map has to say what the base model reads"
        for index, (theirs, ours) in found.items()
        if index not in special_map.table
    }


def _reasons(
    trace: Trace, models: dict[Role, LanguageModel], special_map: SpecialMap, unmapped: dict[int, str]
) -> Iterator[str]:
    yield from (unmapped[index] for index in sorted(unmapped.keys() & set(trace.token_ids)))
    for role, lm in models.items():
        table = special_map if role == "base" else SpecialMap()
        yield from table.problems(trace.token_ids, lm.vocab_size)
        if lm.max_positions is not None and len(trace.token_ids) > lm.max_positions:
            yield f"{len(trace.token_ids)} tokens are more than the {lm.max_positions} positions of the {role} model"


def _merged(roles: Sequence[Role], found: Sequence[tuple[int, dict[Site, Any]]]) -> dict[tuple[Role, Site], Any]:
    return {(role, site): rows for role, (_, sites) in zip(roles, found, strict=True) for site, rows in sites.items()}


def _spec(
    models: dict[Role, LanguageModel], special_map: SpecialMap, sites: tuple[Site, ...], dtype: str, shard_rows: int
) -> StoreSpec:
    return StoreSpec(
        models={role: describe(lm) for role, lm in models.items()},
        sites=sites,
        d=next(iter(models.values())).d,
        dtype=dtype,
        provenance={"special_map": special_map.table},
        shard_rows=shard_rows,
    )


def _source(traces: Sequence[Trace], skipped: dict[str, str], compute: Compute) -> dict[str, Any]:
    """Where the traces came from: who wrote them, to which prompts, with which settings, and how they were read."""
    prompts = sorted({(trace.prompt_id, trace.token_ids[: trace.n_prompt]) for trace in traces})
    samplings = {sha256_json(found): found for found in map(_settings, traces)}
    return {
        "traces": len(traces),
        "prompt_set": sha256_json(prompts),
        "written_by": sorted({trace.model for trace in traces}),
        "sampling": [samplings[key] for key in sorted(samplings)],
        "skipped": skipped,
        "batch_tokens": compute.batch_tokens,
        "compiled": compute.compile_blocks,
    }


def _settings(trace: Trace) -> dict[str, Any]:
    """Sampling without what differs from trace to trace."""
    return {name: value for name, value in trace.sampling.items() if name not in ("seed", "rollout")}
