"""Pieces that several figures draw the same way: percent axes, curves with bands, the start of the sentence."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from multidir.report.style import CARD, INK, MUTED, SHADE, Tone

DOTTED = (0, (1, 1.6))
"""Line style of reference levels."""

HALO = [withStroke(linewidth=2.5, foreground=CARD.light)]
"""Keeps a value readable where it crosses a line."""


def panels(figure: Figure, rows: int, columns: int, stacked: bool) -> list[Axes]:
    """Panels with common axes, row by row; stacked puts all below each other."""
    shape = (rows * columns, 1) if stacked else (rows, columns)
    return list(figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel())


def percent_axis(axes: Axes, label: str) -> None:
    """Show a 0..1 share as percent, from zero upwards."""
    axes.set_ylabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}%"))


def reach(points: pd.DataFrame) -> float:
    """The highest value, and the highest upper end of a coherent one: how high a panel has to be."""
    return float(max(points["value"].max(), points["high"].where(points["coherent"]).max()))


def ramp(*tones: Tone) -> LinearSegmentedColormap:
    """Colours for numbers: from nothing to a tone, or from a tone over nothing to another one.

    Only how much of the card shines through changes, so that a page can turn light to dark under the numbers.
    """
    ends = [(*to_rgb(tone.light), 1.0) for tone in tones]
    none = [(*end[:3], 0.0) for end in ends]
    stops = [(0.0, none[0]), (1.0, ends[0])]
    if len(tones) == 2:
        stops = [(0.0, ends[0]), (0.5, none[0]), (0.5, none[1]), (1.0, ends[1])]
    return LinearSegmentedColormap.from_list("ramp", stops)


def from_zero(every: list[Axes], highest: float) -> None:
    """Give all panels one y axis from zero (with room for points that lie on it) to just above `highest`."""
    top = highest if highest > 0 else 0.01
    for axes in every:
        axes.set_ylim(-0.03 * top, 1.12 * top)


def curve(axes: Axes, points: pd.DataFrame, x: str, tone: Tone, name: str, line: Any = "-", marker: str = "") -> None:
    """Draw value against x with its interval band; points that are not coherent are hollow, their line faint, bandless.

    Unknown values leave a gap. `name` becomes the label of the line that holds all points.

    Args:
        axes: where to draw.
        points: sorted by x, with columns value, low, high, coherent.
        x: column of the horizontal position.
        tone: colour.
        name: label of the line.
        line: matplotlib line style.
        marker: matplotlib marker; that of the tone unless given.
    """
    low, high = (points[end].where(points["coherent"]) for end in ("low", "high"))
    axes.fill_between(points[x], low, high, color=tone.light, alpha=0.16, linewidth=0)
    axes.plot(points[x], points["value"], color=tone.light, linestyle=line, linewidth=1.0, alpha=0.45, label=name)
    passing = points["value"].where(points["coherent"])
    axes.plot(points[x], passing, color=tone.light, linestyle=line, label="_coherent part")
    for filled in (True, False):
        some = points[points["coherent"] == filled]
        face = tone.light if filled else CARD.light
        axes.plot(
            some[x], some["value"], marker or tone.marker, color=tone.light, markerfacecolor=face, label="_points"
        )


def interval(axes: Axes, x: float, point: pd.Series, tone: Tone) -> None:
    """One value with its interval as a vertical bar, hollow when it is not coherent; unknown draws nothing."""
    axes.plot([x, x], [point["low"], point["high"]], color=tone.light, linewidth=3, alpha=0.45, label="_interval")
    face = tone.light if point.get("coherent", True) else CARD.light
    axes.plot([x], [point["value"]], tone.marker, color=tone.light, markersize=7, markerfacecolor=face, label="_value")


def level(axes: Axes, value: float, text: str = "") -> None:
    """A reference level across the panel, named at its left end; an unknown level draws nothing."""
    if value == value:
        axes.axhline(value, color=MUTED.light, linewidth=1.2, linestyle=DOTTED, zorder=1.5)
        write(axes, text, (0, value), MUTED, (5, 3), "left bottom", coordinates=("axes fraction", "data"))


def write(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    tone: Tone,
    shift: tuple[float, float] = (0, 7),
    align: str = "center bottom",
    size: float = 8.0,
    weight: str = "normal",
    coordinates: Any = "data",
    halo: bool = True,
) -> None:
    """Write text at a point, readable across lines.

    Args:
        axes: where to write.
        text: what to write.
        at: the point, in `coordinates`.
        tone: colour.
        shift: distance from the point, in points.
        align: horizontal and vertical alignment.
        size: in points.
        weight: matplotlib font weight.
        coordinates: matplotlib `xycoords`.
        halo: keep lines off the text; without it the text stays text in the SVG.
    """
    across, along = align.split()
    axes.annotate(
        text,
        at,
        xycoords=coordinates,
        xytext=shift,
        textcoords="offset points",
        ha=across,
        va=along,
        fontsize=size,
        fontweight=weight,
        color=tone.light,
        path_effects=HALO if halo else None,
    )


def value_label(axes: Axes, x: float, y: float, text: str, tone: Tone, line: int = 0) -> None:
    """Write a value above its point, so many lines higher than right above it."""
    write(axes, text, (x, y), tone, (0, 7 + 11 * line), size=8.5, weight="bold")


def to_one(axes: Axes, lowest: float) -> None:
    """Let the values end at 1, with room above for what is written there."""
    axes.set_ylim(lowest, 1 + 0.12 * (1 - lowest))
    axes.set_yticks([tick for tick in axes.get_yticks() if lowest <= tick < 1.001])


def sentence_start(axes: Axes, label: bool = True) -> None:
    """Mark where the sentence begins on an axis of token offsets (its first token is 0), after all else is drawn."""
    left, right = axes.get_xlim()
    left, right = min(left, -2.5), max(right, 1.5)
    axes.axvspan(-0.5, right, color=SHADE.light, zorder=0, linewidth=0)
    axes.axvline(-0.5, color=INK.light, linewidth=1.0)
    axes.set_xlim(left, right)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    for side, shift, align in (("before", -4, "right top"), ("inside", 4, "left top")):
        write(axes, side, (-0.5, 1), MUTED, (shift, -1), align, coordinates=("data", "axes fraction"))
    axes.set_xlabel("tokens from the start of the backtracking sentence" if label else "")


def extents(axes: Axes, points: pd.DataFrame, tone: Tone) -> None:
    """Draw from where to where each token window reaches."""
    for low, high, value in zip(points["offset_lo"], points["offset_hi"], points["value"], strict=True):
        axes.plot([low, high], [value, value], color=tone.light, alpha=0.4, linewidth=3, label="_extent")


def not_measured(axes: Axes) -> None:
    """Say in an empty panel that nothing was measured; its axis would show numbers that mean nothing."""
    axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", color=MUTED.light)
    axes.tick_params(axis="x", bottom=False, labelbottom=False)


def line_key(tone: Tone, label: str, line: Any = "-", marker: str = "", hollow: bool = False) -> Line2D:
    """A legend entry for a line."""
    face, marker = CARD.light if hollow else tone.light, marker or tone.marker
    return Line2D([], [], color=tone.light, linestyle=line, marker=marker, markerfacecolor=face, label=label)


def faint_key(label: str) -> Line2D:
    """A legend entry for thin lines."""
    return Line2D([], [], color=MUTED.light, linewidth=1, alpha=0.6, label=label)


def level_key(label: str) -> Line2D:
    """A legend entry for a reference level."""
    return Line2D([], [], color=MUTED.light, linestyle=DOTTED, linewidth=1.2, label=label)


def band_key(tone: Tone, label: str) -> Patch:
    """A legend entry for a shaded range."""
    return Patch(facecolor=tone.light, alpha=0.3, label=label, linewidth=0)


def legend(figure: Figure, keys: list[Any], columns: int) -> None:
    """One legend above all panels."""
    figure.legend(handles=keys, loc="outside upper left", ncols=columns, borderaxespad=0.0, borderpad=0.2)


def offsets(table: pd.DataFrame) -> pd.Series:
    """Centre of each token window."""
    return (table["offset_lo"] + table["offset_hi"]) / 2
