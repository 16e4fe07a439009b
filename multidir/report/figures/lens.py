"""The logit lens: how much directions of every layer decode to the keywords, through both unembeddings."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from multidir.report import draw, words
from multidir.report.cells import checked, highest, known_values, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import MUTED, RANDOM, ROLE_NAMES, ROLE_TONES

_ROLES = ("base", "reasoning")


def logit_lens(scores: pd.DataFrame, label: str = "backtracking") -> Plot:
    """Keyword score of the directions of each layer, one panel per unembedding, beside random vectors.

    Args:
        scores: one row per direction and unembedding with columns role (base | reasoning: where the direction is from),
            label, layer, offset_lo, offset_hi, unembedding (base | reasoning), score, null_low, null_high (empty
            when no random vectors were read). Of several windows the one with the most layers is drawn.
        label: the behaviour; the other labels are drawn faint.
    Raises:
        FormatError: columns are missing or hold something else; a direction stands twice.
    """
    what = "logit_lens"
    numbers = ["layer", "offset_lo", "offset_hi", "score", "null_low", "null_high"]
    data = checked(scores, what, ("role", "label", "unembedding"), numbers)
    known_values(data, what, "role", _ROLES)
    known_values(data, what, "unembedding", _ROLES)
    data, left_out = _one_window(data)
    no_repeats(data, what, ["role", "label", "unembedding", "layer"])
    data = data.sort_values(["unembedding", "role", "label", "layer"], ignore_index=True)
    readers = [role for role in _ROLES if (data["unembedding"] == role).any()]

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, 1, len(readers), narrow)
        for axes, reader in zip(panels, readers, strict=True):
            _panel(axes, data[data["unembedding"] == reader], reader, label)
        for axes in panels if narrow else panels[:1]:
            axes.set_ylabel("keyword score")
        for axes in panels[-1:] if narrow else panels:
            axes.set_xlabel("block")
        draw.legend(figure, _keys(data, label), 1 if narrow else 4)

    return compose(
        paint,
        data,
        name="logit_lens",
        title="Do the directions decode to the keywords?",
        reading=_reading(data, label),
        note=" ".join(part for part in (left_out, unscored(data, "score")) if part),
        wide=(7.6 if len(readers) > 1 else 5.0, 3.2),
        narrow=(3.7, 2.4 * len(readers) + 1.1),
    )


def _one_window(data: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows of the window with the most layers, and the sentence that counts the others."""
    layers = data.groupby(["offset_lo", "offset_hi"], dropna=False)["layer"].nunique()
    if len(layers) < 2:
        return data, ""
    low, high = sorted(layers[layers == layers.max()].index)[0]
    kept = data[(data["offset_lo"] == low) & (data["offset_hi"] == high)]
    return kept, f"Directions of window {words.window(low, high)}; {len(layers) - 1} more windows are in the table."


def _panel(axes: Axes, data: pd.DataFrame, reader: str, label: str) -> None:
    axes.set_title(f"{reader} unembedding")
    null = data.drop_duplicates("layer").sort_values("layer")
    axes.fill_between(null["layer"], null["null_low"], null["null_high"], color=RANDOM.light, alpha=0.25, linewidth=0)
    if len(null) == 1:  # a band over one layer has no width
        ends = null[["null_low", "null_high"]].to_numpy().ravel()
        axes.plot([null["layer"].iloc[0]] * 2, ends, color=RANDOM.light, linewidth=7, alpha=0.4, label="_null")
    for (role, name), some in data.groupby(["role", "label"]):
        tone, series = ROLE_TONES[str(role)], f"{reader}/{role}/{name}"
        if name == label:
            axes.plot(some["layer"], some["score"], f"{tone.marker}-", color=tone.light, label=series, zorder=3)
        else:
            axes.plot(some["layer"], some["score"], ".-", color=tone.light, linewidth=0.8, alpha=0.35, label=series)
    axes.axhline(0, color=MUTED.light, linewidth=0.8, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    if len(null) == 1:
        axes.set_xlim(null["layer"].iloc[0] - 1, null["layer"].iloc[0] + 1)


def _keys(data: pd.DataFrame, label: str) -> list[object]:
    keys: list[object] = [
        draw.line_key(ROLE_TONES[role], f"{ROLE_NAMES[role]}")
        for role in _ROLES
        if ((data["role"] == role) & (data["label"] == label)).any()
    ]
    if (data["label"] != label).any():
        keys.append(draw.faint_key("other labels"))
    if data["null_high"].notna().any():
        keys.append(draw.band_key(RANDOM, "random vectors, central 95%"))
    return keys


def _reading(data: pd.DataFrame, label: str) -> str:
    parts = []
    for role in _ROLES:
        some = data[(data["role"] == role) & (data["label"] == label)]
        top = highest(some, "score")
        if top is None:
            continue
        part = f"the {ROLE_NAMES[role]} directions score highest at block {top['layer']:g} ({top['score']:.2f}, "
        part += f"{top['unembedding']} unembedding)"
        known = some.dropna(subset=["null_high", "score"])
        if len(known):
            outside = sum(row.score > row.null_high for row in rows(known))
            part += f", with {outside} of {len(known)} scores above random vectors"
        parts.append(part)
    return words.capital("; ".join(parts)) + "." if parts else f"No {label} direction could be read."
