"""Dose ladders of single directions, and the single dose that a pair is equivalent to."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from multidir.report import draw, words
from multidir.report.cells import checked, known_values, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import INK, MUTED, PAIR

MOST_PANELS = 6
ZERO = 0.55
"""Where no dose stands on the logarithmic axis."""
TICKS = (ZERO, 1.0, math.sqrt(2), 2.0, 2 * math.sqrt(2))
LABELS = {ZERO: "0", 1.0: "1", math.sqrt(2): "1.4", 2.0: "2", 2 * math.sqrt(2): "2.8"}


def equivalent_doses(ladders: pd.DataFrame) -> Plot:
    """For each pair: both ladders, the pair's level, and the multiple of one direction's dose that reaches it.

    Args:
        ladders: rows with columns first, second, verdict, part (first | second | pair), multiple, share, share_low,
            share_high, fitted; the pair's row also multiple_low and multiple_high.
    Raises:
        FormatError: columns are missing or hold something else; a rung stands twice.
    """
    what = "equivalent_doses"
    shares = ("share", "share_low", "share_high", "fitted")
    numbers = ("multiple", "multiple_low", "multiple_high", *shares)
    data = checked(ladders, what, ("first", "second", "verdict", "part"), numbers, shares)
    known_values(data, what, "part", ("first", "second", "pair"))
    no_repeats(data, what, ["first", "second", "part", "multiple"])
    data = data.sort_values(["first", "second", "part", "multiple"], ignore_index=True)
    pairs = [(str(a), str(b)) for a, b in data[["first", "second"]].drop_duplicates().itertuples(index=False)]
    shown = pairs[:MOST_PANELS]
    columns = min(3, len(shown))
    lines = math.ceil(len(shown) / columns)

    def paint(figure: Figure, narrow: bool) -> None:
        every = draw.panels(figure, lines, columns, stacked=narrow)
        for axes, (first, second) in zip(every, shown, strict=False):
            _panel(axes, data[(data["first"] == first) & (data["second"] == second)])
        for axes in every[len(shown) :]:
            axes.set_visible(False)
        for place, axes in enumerate(every[: len(shown)]):
            first_column = narrow or place % columns == 0
            draw.percent_axis(axes, "backtracking" if first_column else "")
            last = place == len(shown) - 1 if narrow else place + columns >= len(shown)
            axes.set_xlabel("multiples of a direction's own dose" if last else "")
            axes.tick_params(labelbottom=last)
        top = np.nanmax(data[["share", "share_high"]].to_numpy(), initial=0.0)
        draw.from_zero(every[: len(shown)], float(top))
        first, second = words.members(shown)
        keys = [
            draw.line_key(INK, f"{first} alone"),
            draw.line_key(MUTED, f"{second} alone", (0, (4, 2)), "s"),
            draw.line_key(PAIR, "the pair, where one direction does as much", "-"),
        ]
        draw.legend(figure, keys, 1 if narrow else 3)

    return compose(
        paint,
        data,
        name=what,
        title="Which dose of one direction does a pair equal?",
        reading=_reading(data),
        note=" ".join(part for part in (unscored(data, "share"), _more(len(pairs) - len(shown))) if part),
        wide=(7.6, 1.0 + 2.3 * lines),
        narrow=(3.7, 1.0 + 1.9 * len(shown)),
    )


def _more(count: int) -> str:
    return f"{count} more pairs are in the table." if count else ""


def _panel(axes: Axes, points: pd.DataFrame) -> None:
    axes.set_xscale("log")
    axes.set_xlim(0.45, 4.2)
    axes.xaxis.set_major_locator(FixedLocator(list(TICKS)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: next(v for k, v in LABELS.items() if abs(k - x) < 0.01)))
    axes.axvline(2, color=MUTED.light, linewidth=1.0, linestyle=draw.DOTTED, zorder=1)
    draw.write(axes, "doses add", (2, 0), MUTED, (3, 3), "left bottom", 7.0, coordinates=("data", "axes fraction"))
    for part, tone, line, marker in (("first", INK, "-", "o"), ("second", MUTED, (0, (4, 2)), "s")):
        some = points[points["part"] == part]
        x = some["multiple"].replace(0.0, ZERO)
        axes.fill_between(x, some["share_low"], some["share_high"], color=tone.light, alpha=0.10, linewidth=0)
        axes.plot(x, some["fitted"], color=tone.light, linestyle=line, linewidth=1.4, label=f"_{part}")
        axes.plot(x, some["share"], marker, color=tone.light, markersize=4, label=part)
    pair = points[points["part"] == "pair"].iloc[0]
    title = f"{pair['first']} + {pair['second']}"
    axes.set_title(f"{title}\n{pair['verdict']}", fontsize=8.5, linespacing=1.25)
    axes.axhline(pair["share"], color=PAIR.light, linewidth=1.0, alpha=0.6, zorder=1.5)
    if words.is_unknown(pair["multiple"]) or words.is_unknown(pair["share"]):
        return
    at, low, high = (float(np.clip(pair[c], ZERO, 4.0)) for c in ("multiple", "multiple_low", "multiple_high"))
    axes.plot([low, high], [pair["share"]] * 2, color=PAIR.light, linewidth=4, alpha=0.5, label="_interval")
    axes.plot([at], [pair["share"]], PAIR.marker if high < 4 else ">", color=PAIR.light, markersize=7, label="pair")
    axes.plot([at, at], [0, pair["share"]], color=PAIR.light, linewidth=1.0, linestyle=draw.DOTTED, label="_drop")


def _reading(data: pd.DataFrame) -> str:
    parts = []
    for row in rows(data[data["part"] == "pair"]):
        name = f"{row.first} + {row.second}"
        if words.is_unknown(row.multiple):
            parts.append(f"{name} has no ladder")
        elif math.isinf(row.multiple_high):
            parts.append(f"{name} does as much as at least {row.multiple_low:.1f} doses of one direction")
        else:
            equal = words.estimate(row.multiple, row.multiple_low, row.multiple_high, 1)
            parts.append(f"{name} equals {equal} doses of one direction")
    return f"{'; '.join(parts)}; 2 would be plain addition of doses."
