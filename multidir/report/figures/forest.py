"""Estimates below each other, each with its interval on a line of its own."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from multidir.report import draw
from multidir.report.style import CARD, INK, MUTED, REASONING, SELF, Tone

_WIDE, _NARROW = 44, 22
_DARK = 0.7
"""Size from which a square is too dark for dark numbers."""


def forest(axes: Axes, data: pd.DataFrame, names: Sequence[str], tones: Sequence[Tone], narrow: bool) -> None:
    """Draw rows with value, low and high, the first on top.

    Args:
        axes: where.
        data: columns value, low, high; unknown values leave their line empty.
        names: at the left, broken over lines where they are long; none beside a panel that has them.
        tones: one per row.
        narrow: whether there is little room for names.
    """
    for place, ((_, row), tone) in enumerate(zip(data.iterrows(), tones, strict=True)):
        axes.plot([row["low"], row["high"]], [place, place], color=tone.light, linewidth=2.4, alpha=0.45)
        axes.plot([row["value"]], [place], tone.marker, color=tone.light, markersize=6)
    axes.axvline(0, color=MUTED.light, linewidth=1.0, linestyle=(0, (1, 1.6)))
    if names:
        texts = [fill(name, _NARROW if narrow else _WIDE) for name in names]
        axes.set_yticks(range(len(texts)), texts, fontsize=7 if narrow else 8)
        axes.tick_params(labelleft=True)
    axes.set_ylim(len(data) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")


def height(rows: int, narrow: bool) -> float:
    """Inches that so many rows need, the axis included."""
    return 1.1 + (0.4 if narrow else 0.27) * rows


def squares(axes: Axes, names: Sequence[str], values: Sequence[Sequence[float]], shown: int = 2) -> None:
    """A matrix of numbers in -1..1 as coloured squares with their numbers; an unknown one stays empty."""
    edges = np.arange(len(values) + 1) - 0.5
    shades = draw.ramp(REASONING, SELF)
    axes.pcolormesh(edges, edges, np.ma.masked_invalid(np.asarray(values)), cmap=shades, vmin=-1, vmax=1)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if value == value:
                colour = CARD.light if abs(value) > _DARK else INK.light
                axes.text(j, i, f"{value:.{shown}f}", ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
