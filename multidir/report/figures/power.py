"""Power of a design: how often an interaction is claimed, by size of the study."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multidir.report import draw, words
from multidir.report.cells import checked, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import INK, LESS, PAIR, RANDOM, Tone

MARKERS = ("o", "s", "D", "^", "v", "P", "X")


def power_curves(power: pd.DataFrame) -> Plot:
    """Share of simulated studies that claim a planted interaction, and that claim one where there is none.

    Args:
        power: one row per size and interaction with columns prompts, rollouts, planted, claimed, accepted,
            false_claims.
    Raises:
        FormatError: columns are missing or hold something else; a design stands twice.
    """
    what = "power_curves"
    shares = ("claimed", "accepted", "false_claims")
    data = checked(power, what, (), ("prompts", "rollouts", "planted", *shares), shares)
    no_repeats(data, what, ["prompts", "rollouts", "planted"])
    data = data.sort_values(["rollouts", "planted", "prompts"], ignore_index=True)
    counts = sorted(data["rollouts"].unique())

    def paint(figure: Figure, narrow: bool) -> None:
        every = draw.panels(figure, 1, len(counts), stacked=narrow)
        for axes, rollouts in zip(every, counts, strict=True):
            _panel(axes, data[data["rollouts"] == rollouts])
            axes.set_title(f"{rollouts:g} rollout{'' if rollouts == 1 else 's'} per prompt and cell")
            axes.set_xlabel("prompts" if not narrow or rollouts == counts[-1] else "")
        for axes in every if narrow else every[:1]:
            draw.percent_axis(axes, "of studies claim it")
        keys = [
            draw.line_key(_tone(delta), f"planted {delta:+g}" if delta else "none planted", "-", marker)
            for delta, marker in _markers(data).items()
        ]
        draw.legend(figure, keys, 2 if narrow else len(keys))

    return compose(
        paint,
        data,
        name=what,
        title="How often would this design see an interaction?",
        reading=_reading(data),
        note=unscored(data, "claimed"),
        wide=(7.2, 3.1),
        narrow=(3.7, 1.2 + 2.1 * len(counts)),
    )


def _panel(axes: Axes, points: pd.DataFrame) -> None:
    for delta, marker in _markers(points).items():
        some = points[points["planted"] == delta]
        axes.plot(some["prompts"], some["claimed"], color=_tone(delta).light, marker=marker, label=f"{delta:+g}")
    draw.level(axes, 0.05, "5%")
    draw.level(axes, 0.95)
    axes.set_xlim(0, 1.05 * points["prompts"].max())
    axes.set_xticks(sorted(points["prompts"].unique()))
    axes.set_ylim(-0.03, 1.06)


def _tone(delta: float) -> Tone:
    return RANDOM if delta == 0 else INK if abs(delta) < 0.5 else PAIR if delta > 0 else LESS


def _markers(data: pd.DataFrame) -> dict[float, str]:
    """A marker for every planted interaction."""
    deltas = sorted(float(d) for d in data["planted"].unique())
    return {delta: MARKERS[place % len(MARKERS)] for place, delta in enumerate(deltas)}


def _reading(data: pd.DataFrame) -> str:
    largest = data[(data["prompts"] == data["prompts"].max()) & (data["rollouts"] == data["rollouts"].max())]
    parts = [f"{words.percent(r.claimed)} at {r.planted:+g}" for r in rows(largest) if r.planted != 0]
    size = f"{largest['prompts'].iloc[0]:g} prompts x {largest['rollouts'].iloc[0]:g} rollouts"
    false = words.percent(float(largest["false_claims"].max()))
    return f"With {size} an interaction is claimed in {words.joined(parts)}; a false one in at most {false}."
