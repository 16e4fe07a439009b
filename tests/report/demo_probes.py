"""Tables of probes in the shape of the real ones, with values made up."""

from __future__ import annotations

import pandas as pd

ROLES = ("base", "reasoning")


def _around(value: float, half: float = 0.04) -> tuple[float, float, float]:
    return value, max(0.0, value - half), min(1.0, value + half)


def grid_table() -> pd.DataFrame:
    """Three sites, four offsets, rising towards the sentence and with depth."""
    rows = [
        (role, f"L{layer}.resid_post", layer, offset, *_around(0.97 + offset / 50 - 0.03 * (4 - layer) - 0.04 * place))
        for place, role in enumerate(ROLES)
        for layer in (0, 2, 4)
        for offset in (-12, -4, -1, 0)
    ]
    return pd.DataFrame(rows, columns=["role", "site", "layer", "offset", "auroc", "auroc_low", "auroc_high"])


def bars_table() -> pd.DataFrame:
    """Probes, text, controls and a ceiling."""
    values = {
        ("probe", "logistic (L2)"): 0.9,
        ("probe", "LDA"): 0.88,
        ("text", "tokens"): 0.61,
        ("text", "position"): 0.55,
        ("control", "labels shuffled within traces"): 0.52,
        ("control", "leak (difference)"): 0.03,
        ("ceiling", "planted rule"): 0.95,
    }
    rows = [(role, *key, *_around(v - 0.02 * i)) for i, role in enumerate(ROLES) for key, v in values.items()]
    return pd.DataFrame(rows, columns=["role", "group", "kind", "auroc", "auroc_low", "auroc_high"])


def warning_table() -> pd.DataFrame:
    """Two rates of false alarms, three offsets."""
    rows = [
        (role, rate, offset, *_around(0.9 + offset / 15 + rate - 0.1 * i), 0.3)
        for i, role in enumerate(ROLES)
        for rate in (0.01, 0.05)
        for offset in (-8, -4, -1)
    ]
    return pd.DataFrame(rows, columns=["role", "allowed", "offset", "caught", "caught_low", "caught_high", "ahead"])
