"""Invented tables of how directions lie to each other, for the figures that draw them."""

from __future__ import annotations

import numpy as np
import pandas as pd

LABELS = ("adding-knowledge", "backtracking", "deduction", "example-testing", "initializing", "uncertainty-estimation")


def cosine_table() -> pd.DataFrame:
    """All pairs of labels in both models."""
    rng = np.random.default_rng(4)
    rows = []
    for role in ("base", "reasoning"):
        points = rng.normal(size=(len(LABELS), 5))
        units = points / np.linalg.norm(points, axis=1, keepdims=True)
        for i, a in enumerate(LABELS):
            for j in range(i + 1, len(LABELS)):
                value = float(units[i] @ units[j])
                rows.append(("label", role, a, LABELS[j], value, max(-1.0, value - 0.1), min(1.0, value + 0.1)))
    return pd.DataFrame(rows, columns=["axis", "within", "a", "b", "cosine", "low", "high"])


def agreement_table() -> pd.DataFrame:
    """The two models by label."""
    values = [0.73, 0.72, 0.79, 0.78, 0.77, 0.81]
    rows = [("model", name, "base", "reasoning", v, v - 0.04, v + 0.03) for name, v in zip(LABELS, values, strict=True)]
    table = pd.DataFrame(rows, columns=["axis", "within", "a", "b", "cosine", "low", "high"])
    return table.assign(raw_cosine=table["cosine"] - 0.02)


def angle_table() -> pd.DataFrame:
    """Spans of all labels at other windows against home."""
    rows = []
    for role, turn in (("base", 1.0), ("reasoning", 1.2)):
        for step, window in enumerate(("-21..-16", "-9..-4", "0..4")):
            for number in range(5):
                degrees = min(90.0, turn * (12 + 6 * step + 11 * number))
                rows.append(("window", role, "-13..-8", window, number + 1, degrees, 4.0 + 5 * number, 83.0 + number))
    names = ["axis", "within", "a", "b", "number", "degrees", "noise_degrees", "random_degrees"]
    return pd.DataFrame(rows, columns=names)


def lens_table() -> pd.DataFrame:
    """Readings of every block through both unembeddings: two labels, two origins."""
    rows = []
    for reader in ("base", "reasoning"):
        for role, height in (("base", 0.06), ("reasoning", 0.3)):
            for label, share in (("backtracking", 1.0), ("deduction", 0.2)):
                for layer in range(0, 32, 2):
                    score = share * height * float(np.exp(-(((layer - 26) / 6) ** 2)))
                    rows.append((role, label, layer, -13, -8, reader, score, -0.03, 0.03))
    names = ["role", "label", "layer", "offset_lo", "offset_hi", "unembedding", "score", "null_low", "null_high"]
    return pd.DataFrame(rows, columns=names)


def density_table() -> pd.DataFrame:
    """Histograms of four groups in both models."""
    rows = []
    edges = np.linspace(-3, 3, 25)
    groups = (
        ("all tokens", 0.0, 9000),
        ("before the label", 1.4, 700),
        ("before other sentences", 0.1, 5000),
        ("keywords", 0.4, 90),
    )
    for role in ("base", "reasoning"):
        for group, centre, n in groups:
            weights = np.exp(-((edges[:-1] - centre) ** 2) / 2)
            for low, high, share in zip(edges, edges[1:], weights / weights.sum(), strict=False):
                rows.append((role, group, low, high, round(n * share), share, centre))
    return pd.DataFrame(rows, columns=["role", "group", "bin_low", "bin_high", "count", "share", "median"])


def profile_table() -> pd.DataFrame:
    """A rise before the sentence in both models."""
    rows = []
    for role, height in (("base", 1.2), ("reasoning", 1.6)):
        for offset in range(-24, 9):
            rise = height * float(np.exp(-(((offset + 9) / 5) ** 2)))
            auroc = 0.5 + 0.25 * rise / height
            means = (rise, rise - 0.2, rise + 0.2, 0.05, 0.0, 0.1)
            rows.append((role, offset, *means, auroc, auroc - 0.04, auroc + 0.04))
    names = [f"{name}{end}" for name in ("mean", "other", "auroc") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["role", "offset", *names])


def beside_table() -> pd.DataFrame:
    """Published numbers of three kinds, with one of each outcome."""
    rows = [
        ("cosine of the two models", "cosine", 0.716, 0.74, 0.68, 0.8, "supported"),
        ("cosine of deduction with backtracking", "cosine", 0.122, 0.4, 0.3, 0.5, "refuted"),
        ("share of sentences that backtrack", "share", 0.039, 0.05, -0.01, 0.1, "undetermined"),
        ("length of the direction", "residual units", 0.631, 0.64, 0.6, 0.69, "supported"),
        ("dimensions of all labels", "dimensions", 5.0, 5.0, 5.0, 5.0, "supported"),
    ]
    return pd.DataFrame(rows, columns=["what", "unit", "published", "value", "low", "high", "status"])
