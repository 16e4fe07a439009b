"""The numbers behind the paper's figures 2, 4 and 5, as tables that our own figures draw.

What the paper does not report (intervals, coherence) stays empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

FIG2_OFFSETS = (-20, -16, -12, -8, -4, 0)
FIG2: dict[float, tuple[float, ...]] = {
    0: (0.7, 0.7, 0.7, 0.7, 0.7, 0.7),
    2: (0.5, 0.8, 0.7, 0.7, 0.5, 0.9),
    4: (1.3, 1.4, 2.1, 2.0, 1.9, 1.5),
    6: (3.7, 3.8, 5.1, 5.4, 4.5, 2.3),
    8: (7.5, 13.0, 14.7, 12.4, 8.9, 10.5),
    10: (13.9, 25.4, 33.5, 21.0, 18.1, 11.4),
    12: (15.2, 27.1, 51.9, 32.2, 10.1, 10.4),
    15: (18.8, 13.4, 19.3, 33.0, 0.1, 1.3),
}
"""Hmm and Wait in percent of words by magnitude and offset; reasoning-derived, block 10, 10 prompts of 128 tokens."""

FIG4_MAGNITUDES = (0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 25)
FIG4: dict[str, tuple[float, ...]] = {
    "backtracking": (0.223, 0.172, 0.239, 0.922, 4.078, 13.489, 26.317, 31.018, 29.782, 13.624, 0, 0),
    "noise": (0.223, 0.144, 0.085, 0.075, 0.117, 0.258, 0.845, 1.694, 2.319, 2.089, 3.064, 0.677),
    "self": (0.223, 0.093, 0.065, 0.106, 0.270, 0.205, 0.565, 0.188, 0.523, 0.284, 0.432, 0.487),
    "overall_mean": (0.223, 0.089, 0.083, 0.273, 0.674, 0.420, 0, 0, 0, 0, 0, 0),
    "deduction": (0.223, 0, 0.104, 0.183, 0.231, 0.268, 0, 0, 0, 0, 0, 0),
    "initializing": (0.223, 0, 0.296, 0.217, 0.817, 0.185, 0.227, 0, 0.119, 0, 0, 0),
}
"""Wait in percent of words by intervention and magnitude; base-derived vectors into the reasoning model, 10 prompts."""

FIG5: dict[tuple[str, str], dict[int, float]] = {
    ("base", "reasoning"): {28: 0.067, 29: 0.057},
    ("base", "base"): {28: 0.065},
    ("reasoning", "reasoning"): {9: 0.065, 10: 0.065, 11: 0.065, 28: 0.33, 31: 0.0},
    ("reasoning", "base"): {9: 0.065, 10: 0.065, 11: 0.065, 28: 0.55, 31: 0.0},
}
"""Top-15 keyword score by (origin, unembedding) and block, read off the plot to 0.01. The base-derived score is 0
at every other block; of the reasoning-derived one only these blocks can be read."""

ROLES: dict[str, str] = {
    "backtracking": "base",
    "noise": "noise",
    "self": "self",
    "overall_mean": "mean",
    "deduction": "label",
    "initializing": "label",
}
"""How our cells name what the paper's interventions add."""


def fig2_cells() -> pd.DataFrame:
    """Fig. 2 as cells of an offset grid; windows are those of the code, o-1 .. o+3."""
    rows = [
        _cell("reasoning", f"reasoning/backtracking {o - 1}..{o + 3}", magnitude, share / 100)
        | {"offset_lo": o - 1, "offset_hi": o + 3}
        for magnitude, shares in FIG2.items()
        for o, share in zip(FIG2_OFFSETS, shares, strict=True)
        if magnitude
    ]
    unsteered = _cell("none", "none", 0.0, FIG2[0][0] / 100) | {"offset_lo": np.nan, "offset_hi": np.nan}
    return pd.DataFrame([unsteered, *rows]).assign(site="L10.resid_post")


def fig4_cells() -> pd.DataFrame:
    """Fig. 4 as cells of dose curves."""
    curves = {name: dict(zip(FIG4_MAGNITUDES, shares, strict=True)) for name, shares in FIG4.items()}
    return pd.DataFrame(list(_curves(curves)))


def fig5_scores() -> pd.DataFrame:
    """Fig. 5 as scores of the logit lens; unknown at blocks that cannot be read off it."""
    rows = []
    for (role, reader), known in FIG5.items():
        blocks = dict.fromkeys(range(32), 0.0 if role == "base" else np.nan) | known
        rows += [(role, "backtracking", layer, -13, -9, reader, score) for layer, score in sorted(blocks.items())]
    names = ["role", "label", "layer", "offset_lo", "offset_hi", "unembedding", "score"]
    return pd.DataFrame(rows, columns=names).assign(null_low=np.nan, null_high=np.nan)


def _curves(curves: dict[str, dict[Any, float]]) -> Iterator[dict[str, Any]]:
    first = next(iter(curves.values()))
    yield _cell("none", "none", 0.0, first[0] / 100)
    for name, shares in curves.items():
        for magnitude, percent in shares.items():
            if magnitude:
                yield _cell(ROLES[name], name, float(magnitude), percent / 100)


def _cell(role: str, direction: str, magnitude: float, share: float) -> dict[str, Any]:
    return {
        "target": "reasoning",
        "direction_role": role,
        "direction": direction,
        "dose": magnitude,
        "dose_unit": "residual",
        "keyword_share": share,
        "keyword_low": np.nan,
        "keyword_high": np.nan,
        "coherent_share": np.nan,
        "n_prompts": 10,
    }
