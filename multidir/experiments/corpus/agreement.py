"""How far two annotators agree on the same traces: labels laid over each other, counted, with intervals by trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from multidir.annotate.base import LabelledSpan, transfer_labels
from multidir.errors import DesignError
from multidir.experiments.results import Results
from multidir.records.taxonomy import Taxonomy
from multidir.records.text import Sentence
from multidir.stats.agreement import confusion, kappa_estimate, score_estimates
from multidir.stats.estimate import NOT_ESTIMABLE, Estimate
from multidir.stats.proportions import ratio_of_sums
from multidir.store.manifest_file import read_manifest
from multidir.types import IntArray

REST = "other"
"""Label of a taxonomy that takes all labels of richer ones."""


@dataclass(frozen=True)
class Paired:
    """Sentences that both annotators labelled, and how many were left out."""

    reference: list[str]
    other: list[str]
    trace: IntArray
    """(n,) number of the trace of each sentence."""
    left_out: dict[str, int]
    """Sentences by reason."""


def check_same_traces(reference: Path, other: Path) -> None:
    """Refuse labels of different traces: spans of one text mean nothing in another.

    Raises:
        DesignError: the two runs labelled different traces.
    """
    first, second = map(_traces_hash, (reference, other))
    if first != second:
        raise DesignError(f"{reference} and {other} hold labels of different traces; label the same run twice")


def _traces_hash(run: Path) -> str:
    """Content of the run whose traces were labelled; of the run itself where it holds traces and labels."""
    manifest = read_manifest(run)
    return str(manifest["inputs"].get("traces", {}).get("hash") or manifest["outputs_hash"])


def pair_labels(reference: Iterable[Sentence], other: Iterable[Sentence], taxonomy: Taxonomy) -> Paired:
    """The reference's sentences with both labels.

    The other annotator may have cut the text differently: a sentence takes the label that covers most of it. In a
    taxonomy with the label `other`, every label it does not name counts as that.

    Raises:
        DesignError: no sentence has two labels.
    """
    theirs: dict[str, list[LabelledSpan]] = defaultdict(list)
    for s in other:
        theirs[s.trace_id].append(LabelledSpan(s.char_start, s.char_end, _read(s.label, taxonomy)))
    mine: dict[str, list[Sentence]] = defaultdict(list)
    for s in reference:
        mine[s.trace_id].append(s)
    first: list[str] = []
    second: list[str] = []
    trace: list[int] = []
    left_out = dict.fromkeys(("reference did not label", "other did not label", "other has no such trace"), 0)
    for number, (name, sentences) in enumerate(mine.items()):
        given = transfer_labels(theirs.get(name, []), [(s.char_start, s.char_end) for s in sentences])
        for sentence, said in zip(sentences, given, strict=True):
            label = _read(sentence.label, taxonomy)
            if name not in theirs:
                left_out["other has no such trace"] += 1
            elif label is None:
                left_out["reference did not label"] += 1
            elif said is None:
                left_out["other did not label"] += 1
            else:
                first.append(label)
                second.append(said)
                trace.append(number)
    if not first:
        raise DesignError(f"no sentence has a label of {taxonomy} by both annotators; left out: {left_out}")
    return Paired(first, second, np.array(trace), {reason: n for reason, n in left_out.items() if n})


def _read(label: str | None, taxonomy: Taxonomy) -> str | None:
    if label is None or label in taxonomy:
        return label
    return REST if REST in taxonomy else None


def agreement(
    reference: Sequence[Sentence], other: Sequence[Sentence], taxonomy: Taxonomy, positive: str, draws: int, seed: int
) -> Results:
    """Kappa, precision, recall and F1 per label with intervals that resample traces, and the confusion table.

    Args:
        reference: taken as truth.
        other: whose labels are judged.
        taxonomy: labels that are compared.
        positive: label that the headline is about.
        draws: bootstrap resamples of traces.
        seed: of the resampling.
    Raises:
        DesignError: no sentence has two labels, or the taxonomy lacks the positive one.
    """
    if positive not in taxonomy:
        raise DesignError(f"the taxonomy {taxonomy} has no label {positive!r}; there are {', '.join(taxonomy.names)}")
    pairs = pair_labels(reference, other, taxonomy)
    table = confusion(pairs.reference, pairs.other, taxonomy.names)
    rows = [_label_row(label, pairs, draws, seed) for label in taxonomy.names]
    kappa = kappa_estimate(
        pairs.reference, pairs.other, taxonomy.names, pairs.trace, np.random.default_rng(seed), draws
    )
    overall = [_overall_row(e, len(pairs.reference)) for e in (kappa, _same_label(pairs, draws, seed))]
    counts = [(a, b, int(table[i, j])) for i, a in enumerate(taxonomy.names) for j, b in enumerate(taxonomy.names)]
    names = reference[0].annotator, other[0].annotator
    tables = {
        "agreement": pd.DataFrame(rows),
        "confusion": pd.DataFrame(counts, columns=["reference", "other", "count"]),
        "overall": pd.DataFrame(overall),
    }
    return Results(tables, _headline(names, pairs, kappa, rows[taxonomy.names.index(positive)], positive))


def _label_row(label: str, pairs: Paired, draws: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    found = score_estimates(pairs.reference, pairs.other, label, pairs.trace, rng, draws)
    both = sum(a == b == label for a, b in zip(pairs.reference, pairs.other, strict=True))
    row: dict[str, Any] = {
        "label": label,
        "n_both": both,
        "n_reference": pairs.reference.count(label),
        "n_other": pairs.other.count(label),
    }
    for name, estimate in found.items():
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return row


def _same_label(pairs: Paired, draws: int, seed: int) -> Estimate:
    same = np.array([a == b for a, b in zip(pairs.reference, pairs.other, strict=True)], dtype=np.float64)
    _, cluster = np.unique(pairs.trace, return_inverse=True)
    rng = np.random.default_rng(seed)
    sentences = np.bincount(cluster).astype(np.float64)
    return ratio_of_sums(np.bincount(cluster, same).astype(np.float64), sentences, rng, draws, scale="same label")


def _overall_row(estimate: Estimate, n_sentences: int) -> dict[str, Any]:
    return {
        "measure": estimate.scale,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n_sentences": n_sentences,
        "n_traces": estimate.n,
    }


def _score(name: str, row: dict[str, Any], key: str) -> str:
    low, high = 100 * row[f"{key}_low"], 100 * row[f"{key}_high"]
    return f"{name} {100 * row[key]:.2f} % " + (NOT_ESTIMABLE if low != low else f"[{low:.1f}, {high:.1f}]")


def _headline(names: tuple[str, str], pairs: Paired, kappa: Estimate, row: dict[str, Any], positive: str) -> str:
    scores = ", ".join(_score(name, row, name.lower()) for name in ("precision", "recall", "F1"))
    left = ", ".join(f"{n} {reason}" for reason, n in pairs.left_out.items())
    return (
        f"{names[1]} against {names[0]} on {len(pairs.reference)} sentences of {kappa.n} traces: {positive} {scores}; "
        f"kappa {kappa:.2f}" + (f"; left out: {left}" if left else "")
    )
