"""Where pairs lie: the plane of interaction and exponent with its named regions, and isoboles of the doses needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from multidir.report import draw, words
from multidir.report.cells import checked, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import CARD, GRID, INK, MUTED, PAIR, SHADE, VERDICT_TONES, Tone

EDGE = 1.2
"""Shares of doses beyond this lie on the edge of the isobole plot."""
LOW, HIGH = -0.35, 1.62
"""Exponents beyond these lie on the edge of the plane."""
REGIONS = (
    ("synergy", 0.1, 9.0, 1.2, 9.0),
    ("threshold\npooling", 0.1, 9.0, 0.8, 1.2),
    ("additive", -0.3, 0.1, 0.8, 1.2),
    ("threshold\npooling", -9.0, -0.3, 0.8, 1.2),
    ("norm\nonly", 0.1, 9.0, 0.35, 0.65),
    ("independent\ncauses", -0.3, 0.1, 0.0, 0.8),
    ("independent\ncauses", -0.3, 0.1, 1.2, 9.0),
    ("redundant", -9.0, -0.3, 0.0, 0.8),
    ("antagonism", -9.0, -0.1, -9.0, 0.0),
)
"""Name, and from where to where in delta and in 1/p; their edges are those of the default rule."""
KEYS, NUMBERS = ("first", "second", "verdict"), ("delta", "delta_low", "delta_high")
EXPONENT = ("exponent", "exponent_low", "exponent_high")


def joint_plane(pairs: pd.DataFrame) -> Plot:
    """Each pair's interaction on log-odds against the dose that it is equivalent to, in named regions.

    Args:
        pairs: one row per pair with columns first, second, verdict, delta, delta_low, delta_high, exponent,
            exponent_low, exponent_high; unknowns are empty, a pair beyond the ladder has exponent_high inf.
    Raises:
        FormatError: columns are missing or hold something else; a pair stands twice.
    """
    what = "joint_plane"
    data = checked(pairs, what, KEYS, (*NUMBERS, *EXPONENT))
    no_repeats(data, what, ["first", "second"])
    data = data.sort_values(["first", "second"], ignore_index=True)
    reach = max(0.75, 1.12 * np.nanmax(data[list(NUMBERS)].abs().to_numpy(), initial=0.0))

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        axes.set_xlim(-reach, reach)
        axes.set_ylim(LOW, HIGH)
        for region in REGIONS:
            _region(axes, *region, size=6.5 if narrow else 8.5)
        axes.axvline(0, color=MUTED.light, linewidth=0.8, zorder=1)
        for number, row in enumerate(rows(data), start=1):
            _pair_point(axes, number, row)
        _key(figure, data, narrow)
        axes.grid(visible=False)
        axes.set_xlabel("interaction" if narrow else "interaction on log-odds (0: the two add)")
        axes.set_ylabel("1/p (1: doses add)" if narrow else "combination exponent 1/p (1: doses add)")

    return compose(
        paint,
        data,
        name=what,
        title="Do they add or interact?",
        reading=_plane_reading(data),
        note=unscored(data, "exponent"),
        wide=(7.6, 4.0),
        narrow=(3.7, 3.4 + 0.2 * len(data)),
    )


def isoboles(pairs: pd.DataFrame) -> Plot:
    """Each pair's doses as shares of those that either direction alone would need for the same effect.

    Args:
        pairs: one row per pair with columns first, second, verdict, multiple_first, multiple_second (multiples of
            each direction's own dose that alone do what the pair does), exponent, exponent_low, exponent_high.
    Raises:
        FormatError: columns are missing or hold something else; a pair stands twice.
    """
    what = "isoboles"
    data = checked(pairs, what, KEYS, ("multiple_first", "multiple_second", *EXPONENT))
    no_repeats(data, what, ["first", "second"])
    data = data.sort_values(["first", "second"], ignore_index=True)
    for part in ("first", "second"):
        multiple = data[f"multiple_{part}"]
        data[f"share_{part}"] = 1 / multiple.where(multiple > 0)

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        _isobole_lines(axes, narrow)
        for number, row in enumerate(rows(data), start=1):
            _isobole_point(axes, number, row)
        _key(figure, data, narrow)
        axes.set_aspect("equal")
        axes.set_xlim(0, EDGE)
        axes.set_ylim(0, EDGE)
        axes.grid(visible=False)
        first, second = words.members([(str(row.first), str(row.second)) for row in rows(data)])
        beside = "" if narrow else " in the pair / alone"
        axes.set_xlabel(f"dose of {first}{beside}")
        axes.set_ylabel(f"dose of {second}{beside}")

    return compose(
        paint,
        data,
        name=what,
        title="How much of each does the pair need?",
        reading=_isobole_reading(data),
        note=unscored(data, "exponent"),
        wide=(6.4, 4.0),
        narrow=(3.7, 3.5 + 0.2 * len(data)),
    )


def _region(axes: Axes, name: str, left: float, right: float, low: float, high: float, size: float) -> None:
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    left, right, low, high = max(left, x0), min(right, x1), max(low, y0), min(high, y1)
    if right <= left:
        return
    tone = VERDICT_TONES.get(name.replace("\n", " "), INK)
    box = Rectangle((left, low), right - left, high - low, facecolor=tone.light, alpha=0.08, linewidth=0, zorder=0)
    axes.add_patch(box)
    axes.plot([left, right, right, left, left], [low, low, high, high, low], color=GRID.light, linewidth=0.8, zorder=1)
    # names stand at the outer edge of their region, where points are rarer
    x, shift, across = (right, -4, "right") if left > 0 else (left, 4, "left")
    y, rise, along = (low, 3, "bottom") if name.startswith("independent") and low < 1 else (high, -3, "top")
    draw.write(axes, name, (x, y), MUTED, (shift, rise), f"{across} {along}", size)


def _pair_point(axes: Axes, number: int, row: Any) -> None:
    tone = VERDICT_TONES.get(row.verdict, INK)
    if words.is_unknown(row.delta) or words.is_unknown(row.exponent):
        return
    y = float(np.clip(row.exponent, LOW + 0.06, HIGH - 0.06))
    span = np.clip([row.exponent_low, row.exponent_high], LOW, HIGH)
    axes.plot([row.delta_low, row.delta_high], [y, y], color=tone.light, linewidth=2, alpha=0.5, label="_delta")
    axes.plot([row.delta] * 2, span, color=tone.light, linewidth=2, alpha=0.5, label="_exponent")
    _numbered(axes, row.delta, y, number, tone)


def _numbered(axes: Axes, x: float, y: float, number: int, tone: Tone) -> None:
    axes.plot([x], [y], "o", color=tone.light, markersize=11, label="_pair", zorder=4)
    axes.annotate(str(number), (x, y), ha="center", va="center_baseline", fontsize=7.5, color=CARD.light, zorder=5)


def _key(figure: Figure, data: pd.DataFrame, narrow: bool) -> None:
    """The numbered pairs in words, beside the figure or above it."""
    marks = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=f"${number}$",
            markersize=6,
            color=VERDICT_TONES.get(row.verdict, INK).light,
            label=f"{row.first} + {row.second}:{' ' if narrow else chr(10)}{row.verdict}",
        )
        for number, row in enumerate(rows(data), start=1)
    ]
    figure.set_layout_engine("constrained", w_pad=0.08)
    place: Any = "outside upper left" if narrow else "outside right upper"
    figure.legend(handles=marks, loc=place, borderaxespad=0.0, borderpad=0.2, handlelength=1.0, fontsize=8.0)


def _isobole_lines(axes: Axes, narrow: bool) -> None:
    t = np.linspace(0, 1, 200)
    for p, line in ((1.0, "-"), (2.0, (0, (4, 2))), (np.inf, draw.DOTTED)):
        u = t if np.isfinite(p) else np.r_[t, 1.0]
        v = (1 - t**p) ** (1 / p) if np.isfinite(p) else np.r_[np.ones_like(t), 0.0]
        axes.plot(u, v, color=MUTED.light, linestyle=line, linewidth=1.3, zorder=2)
    axes.fill_between(t, 0, 1 - t, color=PAIR.light, alpha=0.08, linewidth=0, zorder=0)
    axes.fill_between([0, 1, EDGE], [1, 0, 0], EDGE, color=SHADE.light, linewidth=0, zorder=0)
    size = 6.5 if narrow else 8.0
    draw.write(axes, "less is needed:\nsynergy", (0.36, 0.03), PAIR, (0, 0), "left bottom", size)
    for place, name in (((0.2, 0.8), "doses add"), ((0.5, 0.866), "norms add"), ((0.5, 1.0), "better one alone")):
        draw.write(axes, name, place, MUTED, (3, 2), "left bottom", size)


def _isobole_point(axes: Axes, number: int, row: Any) -> None:
    tone, u, v = VERDICT_TONES.get(row.verdict, INK), row.share_first, row.share_second
    if words.is_unknown(u) or words.is_unknown(v):
        return
    ends = [_along(u, v, exponent) for exponent in (row.exponent_low, row.exponent_high)]
    axes.plot(*zip(*ends, strict=True), color=tone.light, linewidth=2.2, alpha=0.5, label="_interval", zorder=3)
    _numbered(axes, min(u, EDGE - 0.03), min(v, EDGE - 0.03), number, tone)


def _along(u: float, v: float, exponent: float) -> tuple[float, float]:
    """The point on the ray through (u, v) whose doses combine with this exponent."""
    if words.is_unknown(exponent) or exponent <= 0:
        scale = 1 / max(u, v) if not words.is_unknown(exponent) else 1.0
    elif np.isinf(exponent):
        scale = 0.0
    else:
        scale = (u ** (1 / exponent) + v ** (1 / exponent)) ** -exponent
    return min(scale * u, EDGE), min(scale * v, EDGE)


def _plane_reading(data: pd.DataFrame) -> str:
    groups = data.groupby("verdict", sort=False)
    parts = [f"{words.joined([f'{r.first} + {r.second}' for r in rows(part)])}: {verdict}" for verdict, part in groups]
    return f"{'; '.join(parts)}."


def _isobole_reading(data: pd.DataFrame) -> str:
    parts = []
    for row in rows(data.dropna(subset=["share_first", "share_second"])):
        one, two = (f"{s:.0%}" if s < EDGE else f"over {EDGE:.0%}" for s in (row.share_first, row.share_second))
        parts.append(f"{row.first} + {row.second} need {one} and {two} of the doses alone")
    return f"{'; '.join(parts)}." if parts else "No pair has a dose ladder."
