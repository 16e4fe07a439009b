"""Says in words, with small plots of characters, what an activation store holds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from multidir.report.figures.store import channel_sizes, channel_table, norm_table, token_norms
from multidir.report.plot import Plot
from multidir.store.activations import ActivationStore
from multidir.store.survey import Survey, survey
from multidir.types import FloatArray

_BLOCKS = "▁▂▃▄▅▆▇█"
_BARS = 24
_CHANNELS = 5


def surveys(store: ActivationStore) -> list[Survey]:
    """A look at every set of activations; none where there is nothing to look at."""
    if not (store.n_rows and (store.position > 0).any()):
        return []
    return [survey(store, role, site) for role, site in store.spec.keys]


def store_figures(store: ActivationStore) -> list[Plot]:
    """Token norms and loud channels of every model and site."""
    found = surveys(store)
    return [token_norms(norm_table(found)), channel_sizes(channel_table(found))] if found else []


def describe_store(store: ActivationStore) -> Iterator[str]:
    """A few lines: what it is, what made it, its labels, and what its activations look like."""
    manifest, spec = store.manifest, store.spec
    size = sum(size for size, _ in manifest.files().values())
    status = "" if manifest.complete else ", unfinished: start its capture again to go on"
    shape = f"{store.n_rows:,} tokens of {store.n_traces:,} traces, width {store.d}, {spec.dtype}"
    yield f"activation store: {shape}{status}"
    yield f"  files    {len(store.shards):,} shards, {size:,} bytes; content {store.content_hash}"
    for role in store.roles:
        facts = spec.models[role]
        yield f"  model    {role}: {_words(facts, 'source', 'id')}, weights {str(facts.get('fingerprint', '?'))[:12]}"
    yield f"  sites    {', '.join(f'{site} = hidden_states[{site.hidden_states_index}]' for site in store.sites)}"
    for source in manifest.sources:
        left = f"; {len(source.get('skipped', {}))} left out" if source.get("skipped") else ""
        yield f"  traces   {source.get('traces', '?')} to the prompts {str(source.get('prompt_set', '?'))[:12]}{left}"
        reasons = source.get("skipped", {})
        yield from (f"           without {name}: {reason}" for name, reason in list(reasons.items())[:3])
    for annotator in store.annotators:
        yield f"  labels   {annotator}: {_label_counts(store, annotator)}"
    for found in surveys(store):
        yield from _lines(found, store.n_rows)


def _words(facts: dict[str, object], *names: str) -> str:
    found = [str(facts[name]) for name in (*names, "revision") if facts.get(name)]
    return " ".join(dict.fromkeys(found)) or "unnamed"


def _label_counts(store: ActivationStore, annotator: str) -> str:
    record, table = store.manifest.labels[annotator], store.label_table(annotator)
    counts = [f"{(table.label == i).sum()} {name}" for i, name in enumerate(table.labels)]
    counts += [f"{record.unlabelled} not labelled"] * (record.unlabelled > 0)
    current = record.window is not None and record.shards == len(store.shards)
    sums = f"; sums over tokens {record.window[0]}..{record.window[1]}" if record.window and current else ""
    return f"{', '.join(counts) or 'no sentence'}{sums}"


def _lines(found: Survey, n_rows: int) -> Iterator[str]:
    low, middle, high = np.quantile(found.norms, [0.05, 0.5, 0.95])
    sample = "" if len(found.norms) + len(found.first_norms) >= n_rows else f", from {len(found.norms):,} tokens"
    yield f"  {found.role} {found.site}{sample}"
    yield (
        f"    norms    {sparkline(found.norms)}  median {middle:.3g}, 5 to 95% {low:.3g} to {high:.3g}; "
        f"first tokens {np.median(found.first_norms):.3g}"
    )
    loud, order = found.loudness(), np.argsort(-found.rms, kind="stable")[:_CHANNELS]
    channels = ", ".join(f"{channel} {loud[channel]:.1f}x (mean {found.mean[channel]:+.3g})" for channel in order)
    yield f"    channels {channels}, against the median channel"


def sparkline(values: FloatArray) -> str:
    """A histogram in one line, from the smallest to the largest value, evenly spaced in the logarithm."""
    positive = values[values > 0]
    if not len(positive) or positive.min() == positive.max():
        return _BLOCKS[-1]
    counts = np.histogram(np.log(positive), _BARS)[0]
    heights = np.ceil(counts / counts.max() * len(_BLOCKS)).astype(int)
    return "".join(_BLOCKS[height - 1] if height else " " for height in heights)
