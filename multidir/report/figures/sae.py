"""Figures of dictionaries: how they learned, what they explain at which sparsity, how often latents fire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from multidir.report import draw, words
from multidir.report.cells import checked, highest, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import BASE, INK, NOISE, PAIR, RANDOM, REASONING, Tone
from multidir.types import ROLES

_TONES: dict[str, Tone] = {
    "topk": BASE,
    "batchtopk": REASONING,
    "matryoshka": NOISE,
    "jumprelu": INK,
    "standard": RANDOM,
    "crosscoder": PAIR,
}


def training_curves(curve: pd.DataFrame) -> Plot:
    """Unexplained variance on held-out rows, and dead latents, over training.

    Args:
        curve: a row per dictionary and time with columns name, rows (tokens seen), held_out_fvu, dead.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    shares = ("held_out_fvu", "dead")
    data = checked(curve, "training_curves", ("name",), ("rows", *shares), ("dead",))
    data = data.sort_values(["name", "rows"], ignore_index=True)

    def paint(figure: Figure, narrow: bool) -> None:
        left, right = figure.subplots(*((2, 1) if narrow else (1, 2)), sharex=True)
        for name, points in data.groupby("name", sort=False):
            tone = _tone(str(name))
            left.plot(points["rows"], points["held_out_fvu"], color=tone.light, label=str(name))
            right.plot(points["rows"], points["dead"], color=tone.light, label=str(name))
        left.set_title("unexplained variance, held out")
        right.set_title("dead latents")
        for axes, column in ((left, "held_out_fvu"), (right, "dead")):
            _tokens(axes, float(data["rows"].max()))
            draw.from_zero([axes], min(1.0, max(_FLAT, _largest(data[column]))))
            draw.percent_axis(axes, "")
        _legend(figure, list(data["name"].unique()), narrow)

    last = data.groupby("name", as_index=False).last()
    best = highest(last.assign(kept=-last["held_out_fvu"]), "kept")
    reading = "No held-out row was measured."
    if best is not None:
        reading = (
            f"After {int(data['rows'].max()):,} tokens the best of {len(last)} leaves "
            f"{words.percent(best['held_out_fvu'])} of the held-out variance unexplained ({best['name']})."
        )
    return compose(
        paint,
        data,
        name="training_curves",
        title="Learning",
        reading=reading,
        note=unscored(data, "held_out_fvu"),
        narrow=(3.7, 5.2),
    )


def sparsity_frontier(table: pd.DataFrame) -> Plot:
    """Unexplained variance against active latents, one point per dictionary, with intervals over prompts.

    Args:
        table: a row per dictionary with columns name, architecture, l0, fvu, fvu_low, fvu_high.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    numbers = ("l0", "fvu", "fvu_low", "fvu_high")
    data = checked(table, "sparsity_frontier", ("name", "architecture"), numbers)
    data = data.sort_values(["architecture", "l0", "name"], ignore_index=True)

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for _, row in data.iterrows():
            tone = _TONES.get(row["architecture"], INK)
            point = row.rename({"fvu": "value", "fvu_low": "low", "fvu_high": "high"})
            draw.interval(axes, row["l0"], point, tone)
        axes.set_xlabel("active latents per token (L0)")
        draw.from_zero([axes], max(_FLAT, _largest(data["fvu"]), _largest(data["fvu_high"])))
        draw.percent_axis(axes, "unexplained variance")
        axes.set_xlim(0, 1.08 * max(1.0, float(data["l0"].max())))
        keys = [draw.line_key(_TONES.get(name, INK), name, "") for name in data["architecture"].unique()]
        draw.legend(figure, keys, 2 if narrow else 4)

    best = highest(data.assign(kept=-data["fvu"]), "kept")
    reading = (
        "No dictionary could be measured."
        if best is None
        else f"The lowest unexplained variance is {words.percent(best['fvu'])} at {best['l0']:.1f} active latents "
        f"({best['name']})."
    )
    return compose(
        paint,
        data,
        name="sparsity_frontier",
        title="What is left unexplained at which sparsity",
        reading=reading,
        note=unscored(data, "fvu"),
        wide=(6.2, 3.3),
    )


def latent_density(latents: pd.DataFrame) -> Plot:
    """How often latents fire: a histogram over orders of magnitude, one line per dictionary.

    Args:
        latents: a row per latent with columns name (of the dictionary), density (share of tokens).
    Raises:
        FormatError: columns are missing or hold something else.
    """
    data = checked(latents, "latent_density", ("name",), ("density",), ("density",))
    data = data.sort_values(["name", "density"], ignore_index=True)
    edges = np.arange(-6, 0.26, 0.25)

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for name, part in data.groupby("name", sort=False):
            positive = part["density"][part["density"] > 0]
            counts = np.histogram(np.log10(positive), edges)[0] / len(part)
            axes.stairs(counts, edges, color=_tone(str(name)).light, linewidth=1.8, label=str(name))
        _powers(axes)
        axes.set_xlabel("share of tokens on which a latent is active")
        draw.percent_axis(axes, "latents")
        _legend(figure, list(data["name"].unique()), narrow)

    silent, firing = float((data["density"] == 0).mean()), data["density"][data["density"] > 0]
    reading = "No latent fires."
    if len(firing):
        reading = f"The median latent that fires is active on {firing.median():.2%} of tokens; {silent:.0%} never fire."
    return compose(
        paint,
        data,
        name="latent_density",
        title="How often latents fire",
        reading=reading,
        note=unscored(data, "density"),
        wide=(6.2, 3.2),
    )


def model_share(latents: pd.DataFrame) -> Plot:
    """Whose a crosscoder's latents are: each latent's share of its decoder length that lies in the reasoning model.

    Args:
        latents: a row per latent with columns name (of the crosscoder), reasoning_share, kind (base | shared |
            reasoning | false ... ).
    Raises:
        FormatError: columns are missing or hold something else.
    """
    data = checked(latents, "model_share", ("name", "kind"), ("reasoning_share",), ("reasoning_share",))
    data = data.sort_values(["reasoning_share", "kind"], ignore_index=True)
    edges = np.linspace(0, 1, 41)

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        counts = np.histogram(data["reasoning_share"].dropna(), edges)[0]
        axes.stairs(counts, edges, fill=True, color=BASE.light, alpha=0.7)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_xlabel("reasoning model's share of the decoder length" if not narrow else "reasoning model's share")
        axes.set_ylabel("latents")
        axes.set_xlim(0, 1)
        axes.set_xticks(
            [0, 0.25, 0.5, 0.75, 1], ["0\nbase only", "0.25", "0.5\nboth alike", "0.75", "1\nreasoning only"]
        )

    counts = data["kind"].value_counts()
    reading = f"Latents: {words.joined([f'{count} {kind}' for kind, count in counts.items()])}."
    return compose(
        paint,
        data,
        name="model_share",
        title="Whose latents they are",
        reading=reading,
        note=unscored(data, "reasoning_share"),
        wide=(6.2, 3.0),
    )


_FEW = 8
"""Lines that a legend can name one by one; of more it names the architectures."""

_FLAT = 0.02
"""Share that an axis shows at least: a few dead latents of thousands are no mountain."""


def _tone(name: str) -> Tone:
    return _TONES.get(_architecture(name), INK)


def _architecture(name: str) -> str:
    return next((part for part in name.split("-") if part in _TONES), name)


def _legend(figure: Figure, names: Sequence[str], narrow: bool) -> None:
    """What the colours stand for, and what each line is where they are few."""
    if len(names) <= _FEW:
        draw.legend(figure, _keys(names), 1 if narrow else 2)
        return
    found = dict.fromkeys(map(_architecture, names))
    draw.legend(figure, [draw.line_key(_tone(name), name, "-", "None") for name in found], 2 if narrow else 4)


def _keys(names: Iterable[str]) -> list[Line2D]:
    """A legend entry for each line; of the names what tells them apart, for the whole of several fits no figure."""
    parts = {str(name): str(name).split("-") for name in names}
    roles = {tuple(part for part in each if part in ROLES) for each in parts.values()}
    shared = set.intersection(*map(set, parts.values())) - set(ROLES if len(roles) > 1 else ())
    short = {name: "-".join(part for part in each if part not in shared) or name for name, each in parts.items()}
    return [draw.line_key(_tone(name), text, "-", "None") for name, text in short.items()]


def _tokens(axes: Axes, most: float) -> None:
    """A few ticks, in thousands or millions of tokens."""
    unit, name = (1e6, "million ") if most >= 2e6 else (1e3, "thousand ") if most >= 2e3 else (1.0, "")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / unit:g}"))
    axes.set_xlabel(f"{name}tokens")


def _largest(values: pd.Series) -> float:
    """The largest known value; 0 when none is known."""
    return 0.0 if values.dropna().empty else float(values.max())


def _powers(axes: Axes) -> None:
    ticks = range(-6, 1)
    axes.set_xticks(list(ticks), [f"{10.0**power:.0%}" if power >= -2 else f"1e{power}" for power in ticks])
