"""Our numbers beside the paper's."""

from __future__ import annotations

from textwrap import fill

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multidir.report import draw, words
from multidir.report.cells import checked, known_values, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import INK, MUTED, NOISE

_MARKS = {"supported": "✓", "refuted": "✗", "undetermined": "?"}
_UNITS = ("cosine", "share", "residual units", "dimensions")


def beside_paper(table: pd.DataFrame) -> Plot:
    """Each published number as a diamond, ours as a point with its interval, and how the comparison came out.

    Args:
        table: one row per number with columns what, unit (cosine | share | residual units | dimensions), published,
            value, low, high, status (supported | refuted | undetermined).
    Raises:
        FormatError: columns are missing or hold something else; a number stands twice.
    """
    what = "beside_paper"
    data = checked(table, what, ("what", "unit", "status"), ["published", "value", "low", "high"])
    known_values(data, what, "unit", _UNITS)
    known_values(data, what, "status", _MARKS)
    no_repeats(data, what, ["what"])
    order = data["unit"].map({unit: i for i, unit in enumerate(_UNITS)})
    data = data.assign(order=order).sort_values(["order", "what"], ignore_index=True).drop(columns="order")
    units = [unit for unit in _UNITS if (data["unit"] == unit).any()]
    heights = [int((data["unit"] == unit).sum()) + 0.8 for unit in units]

    def paint(figure: Figure, narrow: bool) -> None:
        panels = figure.subplots(len(units), 1, squeeze=False, height_ratios=heights).ravel()
        for axes, unit in zip(panels, units, strict=True):
            _panel(axes, data[data["unit"] == unit], unit, narrow)
        keys = [draw.line_key(INK, "here, with interval", ""), draw.line_key(NOISE, "published", "", "D", True)]
        draw.legend(figure, keys, 1 if narrow else 2)

    return compose(
        paint,
        data,
        name="beside_paper",
        title="Our numbers beside the paper's",
        reading=_reading(data),
        note=unscored(data, "value"),
        wide=(7.6, 0.29 * sum(heights) + 0.45 * len(units) + 0.6),
        narrow=(3.7, 0.42 * sum(heights) + 0.5 * len(units) + 0.9),
    )


def _panel(axes: Axes, data: pd.DataFrame, unit: str, narrow: bool) -> None:
    data = data.iloc[::-1]
    for y, row in enumerate(rows(data)):
        axes.plot([row.low, row.high], [y, y], color=INK.light, linewidth=3, alpha=0.35, label="_interval")
        place = (1.01, y)
        mark = _MARKS[row.status]
        draw.write(axes, mark, place, INK, (0, 0), "left center", 9, "bold", ("axes fraction", "data"))
    axes.plot(data["value"], range(len(data)), "o", color=INK.light, label=f"{unit}/here")
    axes.plot(data["published"], range(len(data)), "D", color=NOISE.light, fillstyle="none", label=f"{unit}/published")
    names = [fill(str(name), 24 if narrow else 34) for name in data["what"]]
    axes.set_yticks(range(len(data)), names, fontsize=7.5)
    axes.set_ylim(-0.6, len(data) - 0.4)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_xlabel(unit, fontsize=8)
    axes.axvline(0, color=MUTED.light, linewidth=0.8)


def _reading(data: pd.DataFrame) -> str:
    counts = data["status"].value_counts()
    parts = [f"{counts[status]} {status} ({mark})" for status, mark in _MARKS.items() if status in counts]
    return f"Of {len(data)} published numbers, {words.joined(parts)}."
