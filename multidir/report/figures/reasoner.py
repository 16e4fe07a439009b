"""Figure of a finetuning: how the loss went, and where held-out traces stood before and after."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from multidir.report import draw, words
from multidir.report.cells import checked, known_values, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import BASE, MUTED, REASONING


def reasoner_loss(table: pd.DataFrame) -> Plot:
    """Loss of training, and that of both models on traces neither learnt from.

    Args:
        table: rows with columns model (training | base | reasoning | change), tokens (seen so far), loss (nats per
            token), low, high, n_traces.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    what = "reasoner_loss"
    data = checked(table, what, ("model",), ("tokens", "loss", "low", "high", "n_traces"))
    known_values(data, what, "model", ("training", "base", "reasoning", "change"))
    data = data.sort_values(["model", "tokens"], ignore_index=True)
    points = data[data["model"] == "training"]
    before, after, change = (data[data["model"] == name].iloc[0] for name in ("base", "reasoning", "change"))

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        axes.plot(points["tokens"], points["loss"], color=MUTED.light)
        for row, tone in ((before, BASE), (after, REASONING)):
            draw.interval(axes, float(row["tokens"]), row.rename({"loss": "value"}), tone)
        axes.set_xlabel("tokens seen")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n / 1000:.0f}k"))
        axes.set_ylabel("loss, nats per token")
        keys = [draw.line_key(tone, name, "") for tone, name in ((BASE, "held out, before"), (REASONING, "after"))]
        draw.legend(figure, [*keys, draw.line_key(MUTED, "training", marker="")], 1 if narrow else 3)

    return compose(
        paint,
        data,
        name="reasoner_loss",
        title="Learning to reason aloud",
        reading=_reading(before, after, change),
        note=unscored(data, "loss"),
        wide=(6.2, 3.3),
    )


def _reading(before: pd.Series, after: pd.Series, change: pd.Series) -> str:
    if words.is_unknown(change["loss"]):
        return "The loss on held-out traces was not measured."
    ends = "" if words.is_unknown(change["low"]) else f" [{change['low']:+.3f}, {change['high']:+.3f}]"
    return (
        f"On {int(before['n_traces'])} traces that were held out the loss goes from {before['loss']:.3f} to "
        f"{after['loss']:.3f} nats per token, a change of {change['loss']:+.3f}{ends}."
    )
