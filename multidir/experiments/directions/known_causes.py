"""The tiny pair's causes in a store: which tokens have them by its grammar, and the directions of these labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from multidir.errors import DesignError
from multidir.experiments.directions.places import Places
from multidir.linalg.basis import norm_matched
from multidir.models.align import decode_text, token_spans
from multidir.organism.planting import CAUSES, causes_of_tokens
from multidir.records.direction import Direction
from multidir.store.activations import ActivationStore
from multidir.types import FloatArray, IntArray


def cause_bits(store: ActivationStore, tokenizer: PreTrainedTokenizerBase) -> IntArray:
    """(n,) for every row of a store, the causes expressed in the running step: bit 0 hesitation, bit 1 mistake."""
    bits = []
    for trace in store.iterate_traces():
        text = decode_text(tokenizer, trace.token_ids)
        bits.append(causes_of_tokens(text, token_spans(tokenizer, trace.token_ids)))
    return np.concatenate(bits)


def labelled_causes(places: Places, x: FloatArray, bits: IntArray) -> dict[str, FloatArray]:
    """What the true labels say: difference of means by each cause, the other cause held equal.

    Args:
        places: windows before sentences.
        x: (w, d) their mean rows.
        bits: (n,) from `cause_bits`; that of a window's last row counts.
    Returns:
        (d,) unit vector by cause.
    Raises:
        DesignError: one of the four combinations of the causes does not occur.
    """
    here = bits[places.rows[:, -1]]
    if missing := sorted({0, 1, 2, 3} - set(here.tolist())):
        raise DesignError(f"no sentence ends with the combination of causes {missing[0]:02b}; take more traces")
    means = [x[here == cell].mean(axis=0) for cell in range(4)]
    pairs = {"hesitation": ((1, 0), (3, 2)), "mistake": ((2, 0), (3, 1))}
    found = {name: sum(means[on] - means[off] for on, off in pairs[name]) for name in CAUSES}
    return {name: norm_matched(np.asarray(vector)[None], 1.0)[0] for name, vector in found.items()}


def nearest_candidates(truth: Mapping[str, FloatArray], ordered: list[Direction]) -> pd.DataFrame:
    """For each cause the candidate that stands for it: of those that point to no other half as much, the closest.

    A mixture of both causes, such as a difference of means by the behaviour, is at a cosine of 0.7 with either and a
    little closer to one of them; it stands for neither.

    Args:
        truth: (d,) unit vector by cause.
        ordered: candidates, strongest first.
    Returns:
        cause, direction, place (from 1), cosine, and others: the largest cosine with another cause. Where no candidate
        stands for a cause, its direction is empty and its numbers are unknown.
    """
    cosines = np.stack([item.unit for item in ordered]) @ np.stack(list(truth.values())).T
    rows = []
    for number, cause in enumerate(truth):
        mine, others = cosines[:, number], np.delete(cosines, number, axis=1).max(axis=1)
        own = np.flatnonzero(mine > 2 * others.clip(min=0))
        facts: dict[str, object] = {
            "cause": cause,
            "direction": "",
            "place": np.nan,
            "cosine": np.nan,
            "others": np.nan,
        }
        if own.size:
            best = own[np.argmax(mine[own])]
            facts |= {"direction": ordered[best].name, "place": int(best) + 1}
            facts |= {"cosine": mine[best], "others": others[best]}
        rows.append(facts)
    return pd.DataFrame(rows)


def found_sentence(nearest: pd.DataFrame) -> str:
    """What the table says, in words."""
    parts = [
        f"{row['cause']} at place {row['place']:.0f} (cosine {row['cosine']:.2f}, with the other {row['others']:.2f})"
        if row["direction"]
        else f"{row['cause']} nowhere"
        for _, row in nearest.iterrows()
    ]
    return f"the planted causes were found, untold: {' and '.join(parts)}"
