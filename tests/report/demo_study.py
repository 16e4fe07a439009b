"""Tables of a study's later stages as they could come out: a layer sweep, a finetuning."""

from __future__ import annotations

import numpy as np
import pandas as pd


def layer_cells() -> pd.DataFrame:
    """Cells of a layer sweep: best at the third block, and incoherent at the first."""
    rows = [("none", np.nan, 0.0, 0.05, 0.03, 0.07, 1.0)]
    for role, height in (("base", 0.3), ("reasoning", 0.4)):
        for layer in range(6):
            share = 0.05 + height * float(np.exp(-((layer - 2) ** 2)))
            rows.append((role, layer, 0.5, share, share - 0.04, share + 0.04, 0.9 if layer else 0.2))
            rows.append((role, layer, 1.0, share / 2, share / 2 - 0.02, share / 2 + 0.02, 0.9 if layer else 0.1))
    names = ["direction_role", "layer", "dose", "backtrack_share", "low", "high", "coherent_share"]
    return pd.DataFrame(rows, columns=names)


def reasoner_table() -> pd.DataFrame:
    """The course of a finetuning and the losses at its two ends."""
    rows = [("training", 1000.0 * i, 2.5 - 0.1 * i, np.nan, np.nan, 0) for i in range(1, 6)]
    rows += [("base", 0.0, 2.4, 2.3, 2.5, 30), ("reasoning", 5000.0, 2.1, 2.0, 2.2, 30)]
    rows += [("change", 5000.0, -0.3, -0.35, -0.25, 30)]
    return pd.DataFrame(rows, columns=["model", "tokens", "loss", "low", "high", "n_traces"])
