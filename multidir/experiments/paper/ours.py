"""Our numbers for everything in `paper_numbers`, read from the tables of a study's runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from multidir.annotate.lexical import keyword_count
from multidir.experiments.paper.numbers import LABELS
from multidir.experiments.results import read_verdicts
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


def from_steering(cells: pd.DataFrame, prefix: str = "peak") -> dict[str, Estimate]:
    """The highest keyword share that each origin reaches in the reasoning model, coherent or not, as in the paper.

    Counted as in the paper's code, inside words too; the directions of other labels go by the name of their label.
    """
    found: dict[str, Estimate] = {}
    steered = cells[(cells["target"] == "reasoning") & (cells["dose"] > 0) & cells["substring_share"].notna()]
    label = steered["direction"].str.extract(r"/([\w-]+)", expand=False)
    name = steered["direction_role"].where(steered["direction_role"] != "label", label)
    for role, some in steered.groupby(name):
        top = some.sort_values("substring_share").iloc[-1]
        value, low, high = (float(top[f"substring_{part}"]) for part in ("share", "low", "high"))
        n = int(top["n_prompts"])
        found[f"{prefix}/{role}"] = Estimate(value, low, high, n, "cluster bootstrap", "share of words")
    return found


def from_grid(cells: pd.DataFrame) -> dict[str, Estimate]:
    """The highest keyword share of the offset grid, which the paper measures with reasoning-derived directions."""
    found = from_steering(cells).get("peak/reasoning")
    return {} if found is None else {"peak/grid": found}


def from_baselines(run: Path) -> dict[str, Estimate]:
    """The highest keyword share along each baseline; the paper's are of one word where that is what was counted."""
    settings = json.loads((run / "config.json").read_text(encoding="utf-8"))["science"]["scoring"]
    return from_steering(pd.read_csv(run / "cells.csv"), "wait" if settings["keywords"] == ["wait"] else "peak")


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
        runs: run folders by `directions`, `geometry`, `offsets`, `steering`, `baselines`; None where there is none.
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
    if (grid := runs.get("offsets")) is not None:
        found |= from_grid(pd.read_csv(grid / "cells.csv"))
    if (others := runs.get("baselines")) is not None:
        found |= from_baselines(others)
    if steering is not None:
        found |= from_steering(pd.read_csv(steering / "cells.csv"))
    return found


def _moved(row: Mapping[Any, Any], raw: str, value: str, ends: str, scale: str) -> Estimate:
    """The number as found, with the interval of the noise-free one moved onto it."""
    shift = float(row[raw]) - float(row[value])
    low, high = (float(row[f"{ends}_{end}" if ends else end]) + shift for end in ("low", "high"))
    return Estimate(float(row[raw]), low, high, int(row["n_traces"]), _AS_FOUND, scale)


FIGURES_OF: dict[str, str] = {
    "geometry": "section 3.2",
    "offsets": "Fig. 2",
    "steering": "Fig. 3",
    "baselines": "Fig. 4",
    "lens": "Fig. 5",
    "density": "Fig. 6",
    "sweep": "Fig. B.1",
}
"""Run of a study -> where the paper makes the claims that its verdicts are about."""


def claims_table(runs: Mapping[str, Path | None]) -> pd.DataFrame:
    """Every claim of the paper that a run decided: columns figure, claim, status, because, rule."""
    rows = [
        {"figure": figure, "claim": v.claim, "status": v.status.value, "because": v.because, "rule": v.rule}
        for name, figure in FIGURES_OF.items()
        if (run := runs.get(name)) is not None
        for v in read_verdicts(run)
    ]
    return pd.DataFrame(rows, columns=["figure", "claim", "status", "because", "rule"])
