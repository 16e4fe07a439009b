"""What a pair of pushes does where neither, one or both of its causes stand in the text already."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from multidir.report import draw, words
from multidir.report.cells import checked, known_values, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import INK, LESS, MUTED, PAIR, RANDOM

PUSHED = {"none": RANDOM, "first": MUTED, "second": INK, "both": PAIR}
"""What is pushed -> its colour."""
PLACES = ("neither", "first", "second", "both", "all")
RANKS = ("none", "neither", "first", "second", "both", "all")
"""Order of places and of pushes."""
MOST_PAIRS = 3
WIDTH = 0.2


def pushes_by_standing(strata: pd.DataFrame) -> Plot:
    """Backtracking under each push of a pair, by what stands in the text already, and its interaction there.

    Args:
        strata: rows with columns first, second, standing (neither | first | second | both | all), pushed (none |
            first | second | both), share, share_low, share_high, delta, delta_low, delta_high.
    Raises:
        FormatError: columns are missing or hold something else; a push stands twice.
    """
    what = "pushes_by_standing"
    shares = ("share", "share_low", "share_high")
    keys = ("first", "second", "standing", "pushed")
    data = checked(strata, what, keys, (*shares, "delta", "delta_low", "delta_high"), shares)
    known_values(data, what, "standing", PLACES)
    known_values(data, what, "pushed", tuple(PUSHED))
    no_repeats(data, what, list(keys))
    data = data.sort_values(list(keys), key=_ranked, ignore_index=True)
    pairs = [(str(a), str(b)) for a, b in data[["first", "second"]].drop_duplicates().itertuples(index=False)]
    shown = pairs[:MOST_PAIRS]

    def paint(figure: Figure, narrow: bool) -> None:
        every = figure.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, (first, second) in zip(every, shown, strict=True):
            _panel(axes, data[(data["first"] == first) & (data["second"] == second)], narrow)
            draw.percent_axis(axes, "backtracking")
        top = np.nanmax(data[["share", "share_high"]].to_numpy(), initial=0.0)
        draw.from_zero(list(every), 1.08 * float(top))
        names = ("nothing", *words.members(shown), "both")
        bars = [Patch(facecolor=tone.light, label=name) for name, tone in zip(names, PUSHED.values(), strict=True)]
        draw.legend(figure, [Patch(alpha=0, label="pushed:"), *bars], 3 if narrow else 5)

    more = len(pairs) - len(shown)
    return compose(
        paint,
        data,
        name=what,
        title="What do pushes do where a cause stands in the text already?",
        reading=_reading(data[(data["first"] == pairs[0][0]) & (data["second"] == pairs[0][1])]),
        note=f"{unscored(data, 'share')} {f'{more} more pairs are in the table.' * (more > 0)}".strip(),
        wide=(7.6, 0.9 + 2.4 * len(shown)),
        narrow=(3.7, 1.1 + 2.2 * len(shown)),
    )


def _ranked(column: pd.Series) -> pd.Series:
    return column.map(RANKS.index) if column.name in ("standing", "pushed") else column


def _panel(axes: Axes, points: pd.DataFrame, narrow: bool) -> None:
    first, second = points["first"].iloc[0], points["second"].iloc[0]
    names = dict(zip(PLACES, ("neither", f"only {first}", f"only {second}", "both", "all places"), strict=True))
    for place, standing in enumerate(PLACES):
        mine = points[points["standing"] == standing]
        for row in rows(mine):
            x = place + WIDTH * (list(PUSHED).index(row.pushed) - 1.5)
            tone = PUSHED[row.pushed]
            axes.bar([x], [row.share], width=0.9 * WIDTH, color=tone.light, label=f"{standing} {row.pushed}")
            axes.plot([x, x], [row.share_low, row.share_high], color=INK.light, linewidth=1.0, label="_interval")
        if not mine.empty and not words.is_unknown(mine["delta"].iloc[0]):
            delta = mine["delta"].iloc[0]
            tone = PAIR if mine["delta_low"].iloc[0] > 0 else LESS if mine["delta_high"].iloc[0] < 0 else MUTED
            high = float(np.nanmax(mine[["share", "share_high"]].to_numpy()))
            draw.write(axes, f"{delta:+.2f}", (place, high), tone, size=7.0 if narrow else 9.0, weight="bold")
    axes.axvline(3.5, color=MUTED.light, linewidth=0.8, linestyle=draw.DOTTED)
    labels = [name.replace(" ", "\n") if narrow else name for name in names.values()]
    axes.set_xticks(range(len(PLACES)), labels, fontsize=7.0 if narrow else 9.0)
    axes.set_xlabel("stands in the text already" + ("" if narrow else " (above the bars: interaction on log-odds)"))
    axes.grid(visible=False, axis="x")
    axes.set_title(f"{first} + {second}", fontsize=8.5)


def _reading(points: pd.DataFrame) -> str:
    found = {}
    for standing in ("neither", "all"):
        mine = points[points["standing"] == standing]
        if not mine.empty:
            row = mine.iloc[0]
            found[standing] = words.estimate(row["delta"], row["delta_low"], row["delta_high"])
    pair = f"{points['first'].iloc[0]} + {points['second'].iloc[0]}"
    parts = [f"{found['neither']} where neither stands"] if "neither" in found else []
    parts += [f"{found['all']} over all places"] if "all" in found else []
    return f"On log-odds {pair} interact by {words.joined(parts)}; 0 is plain adding."
