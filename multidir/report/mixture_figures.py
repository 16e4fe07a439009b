"""Learned mixtures and what they must beat: gains on held-out prompts, beside those where the mixture was chosen."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from multidir.report import draw, forest, words
from multidir.report.cells import checked, known_values, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import CARD, INK, PAIR, Tone

MATCHED = {"KL": "at equal divergence elsewhere", "norm": "at equal norm"}


def mixture_contest(contest: pd.DataFrame) -> Plot:
    """What every contender gains on held-out prompts, and what it gained where it was chosen (the winner's curse).

    Args:
        contest: rows with columns contender, matched (KL | norm), gain_seen, gain, gain_low, gain_high.
    Raises:
        FormatError: columns are missing or hold something else; a contender stands twice.
    """
    what = "mixture_contest"
    data = checked(contest, what, ("contender", "matched"), ("gain_seen", "gain", "gain_low", "gain_high"))
    known_values(data, what, "matched", tuple(MATCHED))
    no_repeats(data, what, ["contender", "matched"])
    best = data[data["matched"] == "KL"].set_index("contender")["gain"]
    data = data.assign(order=data["contender"].map(best)).sort_values(
        ["matched", "order", "contender"], ascending=[True, False, True], ignore_index=True
    )
    data = data.drop(columns="order")
    names = list(dict.fromkeys(data["contender"]))

    def paint(figure: Figure, narrow: bool) -> None:
        every = draw.panels(figure, 1, len(MATCHED), stacked=narrow)
        for axes, (matched, title) in zip(every, MATCHED.items(), strict=True):
            part = data[data["matched"] == matched].set_index("contender").reindex(names)
            held = part.rename(columns={"gain": "value", "gain_low": "low", "gain_high": "high"})
            shown = names if narrow or axes is every[0] else ()
            forest.forest(axes, held, shown, [_tone(name) for name in names], narrow)
            for place, (name, seen) in enumerate(part["gain_seen"].items()):
                tone = _tone(str(name))
                axes.plot([seen], [place], tone.marker, color=tone.light, markerfacecolor=CARD.light, markersize=5)
            axes.set_title(title, fontsize=8.5)
            axes.set_xlabel("log-odds gained")
        keys = [draw.line_key(INK, "held-out prompts"), draw.line_key(INK, "where it was chosen", "", hollow=True)]
        draw.legend(figure, keys, 2)

    return compose(
        paint,
        data,
        name=what,
        title="Does a learned mixture do more than simpler ones?",
        reading=_reading(data),
        note=unscored(data, "gain"),
        wide=(7.6, 0.6 + forest.height(len(names), narrow=False)),
        narrow=(3.9, 0.8 + 2 * forest.height(len(names), narrow=True)),
    )


def _tone(name: str) -> Tone:
    return PAIR if name.startswith("mixture") else INK


def _reading(data: pd.DataFrame) -> str:
    parts = [
        f"{row.contender} {words.estimate(row.gain, row.gain_low, row.gain_high)} ({row.gain_seen:+.2f})"
        for row in rows(data[data["matched"] == "KL"].dropna(subset=["gain", "gain_seen"]).head(2))
    ]
    if not parts:
        return "No gain could be measured."
    return f"Most is gained on held-out prompts by {words.joined(parts)}; in brackets, where it was chosen."
