"""Learned mixtures and what they must beat: on other prompts, by number of directions, and against what it costs."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from multidir.report import draw, words
from multidir.report.cells import checked, known_values, no_repeats, rows, unscored
from multidir.report.figures import forest
from multidir.report.plot import Plot, compose
from multidir.report.style import CARD, INK, MUTED, PAIR, RANDOM, Tone

MATCHED = {"KL": "at equal divergence elsewhere", "norm": "at equal norm"}
TONES: dict[str, Tone] = {"mixture": PAIR, "search": PAIR, "path": PAIR, "random": RANDOM, "free": MUTED, "none": MUTED}
"""Colour by kind of contender: what was learned, what means nothing, what is no mixture; the others are INK."""
SINGLES = 4
"""Single directions that the contest shows: the best ones."""
KEYS = ("contender", "kind", "matched")


def mixture_contest(contest: pd.DataFrame) -> Plot:
    """What every contender gains on held-out prompts, and what it gained where it was chosen (the winner's curse).

    Args:
        contest: rows with columns contender, kind, matched (KL | norm), gain_seen, gain, gain_low, gain_high.
    Raises:
        FormatError: columns are missing or hold something else; a contender stands twice.
    """
    numbers = {"value": "gain", "low": "gain_low", "high": "gain_high", "seen": "gain_seen"}
    data = _shown(contest, "mixture_contest", numbers)
    return _forest(
        data,
        name="mixture_contest",
        title="Does a learned mixture do more than simpler ones?",
        axis="log-odds gained before backtracking",
        keys=("held-out prompts", "where it was learned"),
        reading=_reading(data),
    )


def mixture_texts(texts: pd.DataFrame) -> Plot:
    """How often contenders backtrack in whole texts, on new problems with new seeds.

    Args:
        texts: rows with columns contender, kind, matched (KL | norm), share_search, share, share_low, share_high.
    Raises:
        FormatError: as `mixture_contest`.
    """
    numbers = {"value": "share", "low": "share_low", "high": "share_high", "seen": "share_search"}
    data = _shown(texts, "mixture_texts", numbers)
    data[list(numbers)] *= 100
    return _forest(
        data,
        name="mixture_texts",
        title="And when contenders write whole texts?",
        axis="sentences that backtrack, in percent",
        keys=("new problems, new seeds", "problems of the search"),
        reading=_texts_reading(data),
    )


def mixture_frontier(frontier: pd.DataFrame) -> Plot:
    """How much is gained by how many directions, all at one divergence.

    Args:
        frontier: rows with columns contender, kind, n_used, gain_seen, gain, gain_low, gain_high: the mixtures of the
            path, the best single direction, and the free vector.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    what = "mixture_frontier"
    data = checked(frontier, what, ("contender", "kind"), ("n_used", "gain_seen", "gain", "gain_low", "gain_high"))
    data = data.sort_values(["kind", "n_used", "contender"], ignore_index=True)
    path = data[data["kind"].isin(["mixture", "path"])].sort_values("n_used", ignore_index=True)
    free, singles = data[data["kind"] == "free"], data[data["kind"] == "single"]

    def paint(figure: Figure, narrow: bool) -> None:
        axes: Axes = figure.subplots()
        points = path.rename(columns={"gain": "value", "gain_low": "low", "gain_high": "high"}).assign(coherent=True)
        draw.curve(axes, points, "n_used", PAIR, "held-out prompts")
        axes.plot(path["n_used"], path["gain_seen"], PAIR.marker, color=PAIR.light, markerfacecolor=CARD.light)
        for some, text in ((singles, "best single direction"), (free, "free vector")):
            for value in some["gain"]:
                draw.level(axes, value, text)
        axes.set_xlabel("directions in the mixture")
        axes.set_ylabel("log-odds gained")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        keys = [draw.line_key(PAIR, "held-out prompts"), draw.line_key(PAIR, "where it was learned", "", hollow=True)]
        draw.legend(figure, keys, 1 if narrow else 2)

    return compose(
        paint,
        data,
        name=what,
        title="How many directions are needed for how much effect?",
        reading=_frontier_reading(path.dropna(subset=["gain"])),
        note=unscored(data, "gain"),
    )


def _frontier_reading(path: pd.DataFrame) -> str:
    if path.empty:
        return "No mixture could be measured."
    last = path.iloc[-1]
    enough = path[path["gain"] >= 0.9 * last["gain"]].iloc[0]
    few, all_ = (words.estimate(row["gain"], row["gain_low"], row["gain_high"]) for row in (enough, last))
    return (
        f"{int(enough['n_used'])} of {int(last['n_used'])} directions gain {few} on held-out prompts, all "
        f"{int(last['n_used'])} gain {all_}, at one divergence elsewhere."
    )


def mixture_front(front: pd.DataFrame) -> Plot:
    """Effect against divergence and against lost texts; filled and named are the points that none beats in all three.

    Args:
        front: rows with columns contender, kind, front, budget, p95_kl, share, loop_share, lost_share.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    what = "mixture_front"
    numbers = ("budget", "p95_kl", "share", "loop_share", "lost_share")
    data = checked(front, what, ("contender", "kind", "front"), numbers, ("share", "lost_share"))
    data = data.sort_values(["kind", "contender", "budget"], ignore_index=True)

    def paint(figure: Figure, narrow: bool) -> None:
        every = list(figure.subplots(*((2, 1) if narrow else (1, 2)), sharey=True).ravel())
        for axes, (x, label, scale) in zip(
            every,
            (
                ("p95_kl", "divergence elsewhere (p95, nats)", 1),
                ("lost_share", "texts that loop or make no sense, in percent", 100),
            ),
            strict=True,
        ):
            for row in rows(data):
                tone = TONES.get(row.kind, INK)
                face = tone.light if row.front else CARD.light
                at = (scale * getattr(row, x), 100 * row.share)
                axes.plot(*at, tone.marker, color=tone.light, markerfacecolor=face, markersize=6 if row.front else 4)
            axes.set_xlabel(label)
        _name_front(every[0], data)
        every[0].set_ylabel("sentences that backtrack, %")
        keys = [draw.line_key(INK, "beaten by none in all three", ""), draw.line_key(INK, "beaten", "", hollow=True)]
        draw.legend(figure, [*keys, draw.line_key(PAIR, "learned", "")], 3)

    best = data[data["front"].astype(bool)]
    names = list(dict.fromkeys(best["contender"]))
    return compose(
        paint,
        data,
        name=what,
        title="What does more backtracking cost?",
        reading=f"No other contender has more effect, less divergence and fewer lost texts than {words.joined(names)}.",
        note=unscored(data, "share"),
        wide=(7.6, 3.8),
        narrow=(3.9, 6.4),
    )


def _name_front(axes: Axes, data: pd.DataFrame) -> None:
    """Each name once, at its rightmost point on the front."""
    best = data[data["front"].astype(bool)].sort_values("p95_kl").groupby("contender", sort=False).tail(1)
    for row in rows(best):
        draw.write(
            axes, row.contender, (row.p95_kl, 100 * row.share), TONES.get(row.kind, INK), (6, 3), "left bottom", 7
        )


def _shown(contest: pd.DataFrame, what: str, numbers: dict[str, str]) -> pd.DataFrame:
    """The rows of a forest in its order: best first by divergence; of the singles the best ones."""
    data = checked(contest, what, KEYS, numbers.values())
    known_values(data, what, "matched", tuple(MATCHED))
    no_repeats(data, what, ["contender", "matched"])
    data = data[data["kind"] != "path"].rename(columns={old: new for new, old in numbers.items()})
    by_kl = data[data["matched"] == "KL"].sort_values(["value", "contender"], ascending=[False, True])
    singles = by_kl[by_kl["kind"] == "single"]["contender"]
    order = [name for name in by_kl["contender"] if name not in set(singles[SINGLES:])]
    place = {name: i for i, name in enumerate(order)}
    data = data[data["contender"].isin(order)].assign(place=lambda frame: frame["contender"].map(place))
    return data.sort_values(["matched", "place"], ignore_index=True).drop(columns="place")


def _forest(data: pd.DataFrame, *, name: str, title: str, axis: str, keys: tuple[str, str], reading: str) -> Plot:
    names = list(dict.fromkeys(data["contender"]))
    tones = [TONES.get(kind, INK) for kind in data.drop_duplicates("contender")["kind"]]

    def paint(figure: Figure, narrow: bool) -> None:
        every = draw.panels(figure, 1, len(MATCHED), stacked=narrow)
        for axes, (matched, head) in zip(every, MATCHED.items(), strict=True):
            part = data[data["matched"] == matched].set_index("contender").reindex(names)
            forest.forest(axes, part, names if narrow or axes is every[0] else (), tones, narrow)
            for place, (seen, tone) in enumerate(zip(part["seen"], tones, strict=True)):
                axes.plot([seen], [place], tone.marker, color=tone.light, markerfacecolor=CARD.light, markersize=5)
            axes.set_title(head, fontsize=8.5)
            axes.set_xlabel(axis)
        shown = [draw.line_key(INK, keys[0]), draw.line_key(INK, keys[1], "", hollow=True)]
        draw.legend(figure, shown, 2)

    return compose(
        paint,
        data,
        name=name,
        title=title,
        reading=reading,
        note=unscored(data, "value"),
        wide=(7.6, 0.6 + forest.height(len(names), narrow=False)),
        narrow=(3.9, 0.8 + 2 * forest.height(len(names), narrow=True)),
    )


def _reading(data: pd.DataFrame) -> str:
    parts = [
        f"{row.contender} {words.estimate(row.value, row.low, row.high)} ({row.seen:+.2f})"
        for row in rows(data[data["matched"] == "KL"].dropna(subset=["seen", "value"]).head(2))
    ]
    if not parts:
        return "No gain could be measured."
    return f"Most is gained on held-out prompts by {words.joined(parts)}; in brackets, where it was chosen."


def _texts_reading(data: pd.DataFrame) -> str:
    by_norm = data[data["matched"] == "norm"].dropna(subset=["value"]).sort_values("value", ascending=False)
    parts = [f"{row.contender} {words.estimate(row.value, row.low, row.high, 1)}" for row in rows(by_norm.head(2))]
    plain = [f"; unsteered it is {row.value:.1f}" for row in rows(by_norm[by_norm["kind"] == "none"])]
    return f"At equal norm, percent of sentences that backtrack: {words.joined(parts)}{''.join(plain)}."
