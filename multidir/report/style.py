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


# Base and reasoning are the blue and the vermilion of the Okabe-Ito set. The other series were chosen so that any two
# of them stay apart in full colour, without red cones and without green ones, and keep 3:1 against the card, in light
# and in dark; a test holds that.
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
NOISE = Tone("--plot-noise", "#9c1a4a", "#e8447a", "^")
OTHER_LABEL = Tone("--plot-label", "#00506b", "#9be0f5", "p")
MEAN = Tone("--plot-mean", "#5c4a00", "#f2e27a", "v")
SELF = Tone("--plot-self", "#8a4fe0", "#b45cff", "P")
PAIR = Tone("--plot-pair", "#0f8f5f", "#3fdc96", "D")
LESS = Tone("--plot-less", "#3f1fa8", "#7f7bd8", "v")

TONES: tuple[Tone, ...] = (
    *(INK, MUTED, GRID, SHADE, CARD, BASE, REASONING, RANDOM, NOISE),
    *(OTHER_LABEL, MEAN, SELF, PAIR, LESS, RANDOM_LIKE, SHUFFLED),
)

SERIES: tuple[Tone, ...] = (INK, BASE, REASONING, RANDOM, NOISE, OTHER_LABEL, MEAN, SELF, PAIR, LESS)
"""Tones that may stand in one figure."""

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
