"""Our numbers for everything in `paper_numbers`, read from the tables of a study's runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from multidir.annotate.lexical import keyword_count
from multidir.experiments.paper_numbers import LABELS
from multidir.experiments.score import BACKTRACKING
from multidir.methods.window_rules import Offsets
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.stats.estimate import Estimate
from multidir.stats.proportions import ratio_of_sums

KEYWORDS = ("wait", "hmm")
"""Counted inside words too, as in the paper's code."""

_AS_FOUND = "as found, with the spread of the cluster bootstrap"


def from_directions(table: pd.DataFrame, site: Site, window: Offsets) -> dict[str, Estimate]:
    """Lengths, and cosines between the models, by label.

    Published vectors contain their sampling noise, so ours are taken as found too; their interval is the one of the
    noise-free number, moved onto it.

    Args:
        table: `directions.csv` of train/directions.
        site: where.
        window: which window.
    """
    here = table[(table["site"] == str(site)) & (table["offset_lo"] == window[0]) & (table["offset_hi"] == window[1])]
    found: dict[str, Estimate] = {}
    for row in here[here["label"].isin(LABELS)].to_dict("records"):
        found[f"length/{row['role']}/{row['label']}"] = _moved(row, "raw_length", "length", "length", "residual units")
        if not np.isnan(row["raw_cosine"]):
            found[f"between/{row['label']}"] = _moved(row, "raw_cosine", "cosine_between_roles", "cosine", "cosine")
    return found


def from_geometry(cosines: pd.DataFrame, spans: pd.DataFrame) -> dict[str, Estimate]:
    """Cosines of other labels with backtracking in the reasoning model, and the rank of all labels at home."""
    found = {"rank": Estimate(float(spans["rank"].iloc[0]), np.nan, np.nan, 0, "singular values", "dimensions")}
    pairs = cosines[(cosines["axis"] == "label") & (cosines["within"] == "reasoning")]
    for row in pairs.to_dict("records"):
        if BACKTRACKING in (row["a"], row["b"]):
            other = row["b"] if row["a"] == BACKTRACKING else row["a"]
            found[f"label/{other}"] = _moved(row, "raw_cosine", "cosine", "", "cosine")
    return found


def from_traces(traces: Sequence[Trace], sentences: Sequence[Sentence], draws: int, seed: int) -> dict[str, Estimate]:
    """Shares in the unsteered traces: backtracking sentences, those with a keyword, and keywords among words."""
    place = {trace.id: i for i, trace in enumerate(traces)}
    texts = [trace.text for trace in traces]
    labelled, hits, said = np.zeros((3, len(traces)))
    for item in sentences:
        i = place[item.trace_id]
        labelled[i] += item.label is not None
        if item.label == BACKTRACKING:
            hits[i] += 1
            said[i] += keyword_count(texts[i][item.char_start : item.char_end], KEYWORDS, "substring") > 0
    keywords = np.array([keyword_count(text, KEYWORDS, "substring") for text in texts], dtype=np.float64)
    words = np.array([len(text.split()) for text in texts], dtype=np.float64)
    pairs = {"backtracking": (hits, labelled), "recall": (said, hits), "keywords": (keywords, words)}
    return {
        f"share/{name}": ratio_of_sums(part, whole, np.random.default_rng(seed), draws, scale="share")
        for name, (part, whole) in pairs.items()
        if whole.sum()
    }


def from_steering(cells: pd.DataFrame) -> dict[str, Estimate]:
    """The highest keyword share that each origin reaches in the reasoning model, coherent or not, as in the paper."""
    found: dict[str, Estimate] = {}
    steered = cells[(cells["target"] == "reasoning") & (cells["dose"] > 0) & cells["keyword_share"].notna()]
    for role, some in steered.groupby("direction_role"):
        top = some.sort_values("keyword_share").iloc[-1]
        value, low, high = (float(top[name]) for name in ("keyword_share", "keyword_low", "keyword_high"))
        found[f"peak/{role}"] = Estimate(value, low, high, int(top["n_prompts"]), "cluster bootstrap", "share of words")
    return found


def our_numbers(
    runs: Mapping[str, Path | None],
    site: Site,
    window: Offsets,
    traces: Sequence[Trace],
    sentences: Sequence[Sentence],
    draws: int,
    seed: int,
) -> dict[str, Estimate]:
    """All of them, from the run folders that there are.

    Args:
        runs: run folders by `directions`, `geometry`, `steering`; None where there is none.
        site: place of the direction.
        window: its window.
        traces: unsteered traces; none to leave the shares out.
        sentences: their labels.
        draws: bootstrap resamples of traces.
        seed: of the resampling.
    """
    found: dict[str, Estimate] = {}
    directions, geometry, steering = (runs.get(name) for name in ("directions", "geometry", "steering"))
    if directions is not None:
        found |= from_directions(pd.read_csv(directions / "directions.csv"), site, window)
    if geometry is not None:
        found |= from_geometry(pd.read_csv(geometry / "cosines.csv"), pd.read_csv(geometry / "spans.csv"))
    if traces:
        found |= from_traces(traces, sentences, draws, seed)
    if steering is not None:
        found |= from_steering(pd.read_csv(steering / "cells.csv"))
    return found


def _moved(row: Mapping[Any, Any], raw: str, value: str, ends: str, scale: str) -> Estimate:
    """The number as found, with the interval of the noise-free one moved onto it."""
    shift = float(row[raw]) - float(row[value])
    low, high = (float(row[f"{ends}_{end}" if ends else end]) + shift for end in ("low", "high"))
    return Estimate(float(row[raw]), low, high, int(row["n_traces"]), _AS_FOUND, scale)
