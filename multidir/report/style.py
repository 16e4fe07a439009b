"""One look for every figure: colours that mean one thing everywhere, line styles, and the matplotlib settings."""

from __future__ import annotations

from typing import Any, NamedTuple


class Tone(NamedTuple):
    """One colour in its light form (drawn into files) and its dark form (used by the page after sunset)."""

    variable: str
    light: str
    dark: str
    marker: str = "o"
    """Shape of its points, for readers and printers without colour."""


# Light tones of the series are from the Okabe-Ito set, which stays apart under all common colour-vision
# deficiencies; dark tones are the same hues, lighter, so that they keep 4.5:1 against the dark card.
INK = Tone("--plot-ink", "#1f2328", "#e8eaed")
MUTED = Tone("--plot-muted", "#59636e", "#a3acb8")
GRID = Tone("--plot-grid", "#e4e7eb", "#333a44")
SHADE = Tone("--plot-shade", "#f1f3f5", "#252b34")
CARD = Tone("--plot-card", "#ffffff", "#1b2027")
BASE = Tone("--plot-base", "#0072b2", "#5cb8f0")
REASONING = Tone("--plot-reasoning", "#d55e00", "#ff9a52", "s")
RANDOM = Tone("--plot-random", "#8b939c", "#8a94a1")
RANDOM_LIKE = Tone("--plot-random-like", "#5f7f95", "#86aac2")
SHUFFLED = Tone("--plot-shuffled", "#9a7b62", "#c9a88c")
NOISE = Tone("--plot-noise", "#b0578d", "#e08fc0", "^")
OTHER_LABEL = Tone("--plot-label", "#00795c", "#4fc7a4", "p")
MEAN = Tone("--plot-mean", "#8a6d00", "#d9b93f", "v")
SELF = Tone("--plot-self", "#6f4fa0", "#b79ae0", "P")
PAIR = Tone("--plot-pair", "#00785a", "#46cfa4", "D")
LESS = Tone("--plot-less", "#7d4fc4", "#b795f2", "v")

TONES: tuple[Tone, ...] = (
    *(INK, MUTED, GRID, SHADE, CARD, BASE, REASONING, RANDOM, NOISE),
    *(OTHER_LABEL, MEAN, SELF, PAIR, LESS, RANDOM_LIKE, SHUFFLED),
)

VERDICT_TONES: dict[str, Tone] = {
    "synergy": PAIR,
    "threshold pooling": PAIR,
    "antagonism": LESS,
    "redundant": LESS,
    "undetermined": RANDOM,
    "invalid": RANDOM,
}
"""Colour of a pair by its verdict: more than its parts, less than them; the others are INK."""

ROLE_TONES: dict[str, Tone] = {
    "base": BASE,
    "reasoning": REASONING,
    "random": RANDOM,
    "random-cov": RANDOM_LIKE,
    "shuffled": SHUFFLED,
    "noise": NOISE,
    "label": OTHER_LABEL,
    "mean": MEAN,
    "self": SELF,
    "none": MUTED,
}
"""Colour by where a direction comes from."""

NULLS = ("random", "random-cov", "shuffled")
"""Kinds of directions that mean nothing: of each, the range and the median are drawn."""

ROLE_NAMES: dict[str, str] = {
    "base": "base-derived",
    "reasoning": "reasoning-derived",
    "random": "random",
    "random-cov": "random, like activations",
    "shuffled": "shuffled labels",
    "noise": "noise",
    "label": "other label",
    "mean": "mean activation",
    "self": "self-amplification",
    "none": "unsteered",
}

TARGET_LINES: dict[str, Any] = {"reasoning": "-", "base": (0, (4, 2))}
"""Line style by which model is steered."""

TARGET_NAMES: dict[str, str] = {"reasoning": "reasoning model", "base": "base model"}

FONT_STACK = "'DejaVu Sans', Verdana, 'Bitstream Vera Sans', 'Segoe UI', sans-serif"
"""Text stays text in the SVG; Verdana has nearly the widths of DejaVu Sans, which positions were measured with."""

SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": INK.light,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.titlecolor": INK.light,
    "axes.labelsize": 9.0,
    "axes.labelcolor": MUTED.light,
    "axes.edgecolor": MUTED.light,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "grid.color": GRID.light,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED.light,
    "ytick.color": MUTED.light,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0.0,
    "lines.linewidth": 2.0,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.4,
    "figure.facecolor": CARD.light,
    "savefig.facecolor": "auto",
    "svg.fonttype": "none",
}
"""Passed to `matplotlib.rc_context` while drawing and while writing; nothing outside is changed."""
