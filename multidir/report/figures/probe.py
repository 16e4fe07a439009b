"""Figures of probes: what is known where, which probe knows it and who else does, and how early."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from multidir.report import draw, words
from multidir.report.cells import checked, highest, known_values, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import CARD, INK, MUTED, RANDOM, ROLE_TONES, TARGET_NAMES, Tone

_ROLES = ("base", "reasoning")
_GROUPS = ("probe", "text", "control", "ceiling")
_RAMP = (0.5, 1.0)
_BESIDE = 12
"""Offsets up to which two panels with numbers stand beside each other."""
_TITLES = {"probe": "probes of activations", "text": "text alone", "control": "controls"}
_SHUFFLED = "labels shuffled within traces"
_INTERVAL = ["auroc", "auroc_low", "auroc_high"]


def probe_grid(table: pd.DataFrame) -> Plot:
    """AUROC of logistic probes by layer and offset, one panel per model.

    Args:
        table: one row per cell with columns role (base | reasoning), site, layer, offset, auroc, auroc_low, auroc_high.
    Raises:
        FormatError: columns are missing or hold something else, or a cell stands twice.
    """
    what = "probe_grid"
    data = checked(table, what, ("role", "site"), ["layer", "offset", *_INTERVAL], _INTERVAL)
    known_values(data, what, "role", _ROLES)
    no_repeats(data, what, ["role", "site", "offset"])
    data = data.sort_values(["role", "layer", "site", "offset"], ignore_index=True)
    roles = list(dict.fromkeys(data["role"]))
    sites, offsets = list(dict.fromkeys(data["site"])), sorted(data["offset"].unique())

    stacked = len(offsets) > _BESIDE

    def paint(figure: Figure, narrow: bool) -> None:
        below = narrow or stacked
        panels = figure.subplots(*((len(roles), 1) if below else (1, len(roles))), squeeze=False, sharey=True).ravel()
        for place, (axes, role) in enumerate(zip(panels, roles, strict=True)):
            _grid_panel(axes, data[data["role"] == role], sites, offsets, ROLE_TONES[role], narrow)
            axes.set_title(TARGET_NAMES[role])
            if below or place == 0:
                axes.set_ylabel("site")
            if not below or place == len(roles) - 1:
                axes.set_xlabel("tokens from the start of the sentence")

    return compose(
        paint,
        data,
        name="probe_grid",
        title="Where a probe knows that the sentence comes",
        reading=_grid_reading(data),
        note=unscored(data, "auroc"),
        wide=(7.6, (1.1 + 0.3 * len(sites)) * len(roles))
        if stacked
        else (7.6 if len(roles) > 1 else 5.4, 1.2 + 0.32 * len(sites)),
        narrow=(3.7, (1.1 + 0.3 * len(sites)) * len(roles)),
    )


def probe_bars(table: pd.DataFrame) -> Plot:
    """AUROC of every kind of probe, of text alone and of controls, with intervals, per model.

    Args:
        table: one row per probe with columns role (base | reasoning), group (probe | text | control | ceiling), kind,
            auroc, auroc_low, auroc_high. Differences of AUROCs (kinds that end in `(difference)`) are not drawn.
    Raises:
        FormatError: columns are missing or hold something else, or a probe stands twice.
    """
    what = "probe_bars"
    data = checked(table, what, ("role", "group", "kind"), _INTERVAL)
    known_values(data, what, "role", _ROLES)
    known_values(data, what, "group", _GROUPS)
    no_repeats(data, what, ["role", "group", "kind"])
    data = _in_order(data[~data["kind"].astype(str).str.endswith("(difference)")])
    roles = [role for role in _ROLES if (data["role"] == role).any()]
    groups = [(g, list(dict.fromkeys(data["kind"][data["group"] == g]))) for g in _TITLES if (data["group"] == g).any()]
    lowest = min(0.45, float(data["auroc_low"].min()) - 0.02) if data["auroc_low"].notna().any() else 0.45

    def paint(figure: Figure, narrow: bool) -> None:
        heights = [len(kinds) + 0.8 for _, kinds in groups]
        panels = figure.subplots(len(groups), 1, squeeze=False, sharex=True, height_ratios=heights).ravel()
        for axes, (group, kinds) in zip(panels, groups, strict=True):
            _bars_panel(axes, data[data["group"] == group], kinds, roles)
            axes.set_title(_TITLES[group])
            _levels(axes, data)
        panels[-1].set_xlim(lowest, 1.005)
        panels[-1].set_xlabel(
            "AUROC, held out\nby prompt unless split" if narrow else "AUROC, held out by prompt unless split"
        )
        keys = [draw.line_key(ROLE_TONES[role], TARGET_NAMES[role], "") for role in roles]
        if (data["group"] == "ceiling").any():
            keys.append(draw.line_key(INK, "what the planted rule permits", "--", " "))
        draw.legend(figure, [*keys, draw.level_key("chance")], 1 if narrow else 4)

    drawn = sum(len(kinds) for _, kinds in groups)
    return compose(
        paint,
        data,
        name="probe_bars",
        title="Which probe knows, and who else does",
        reading=_bars_reading(data) + _shuffled_reading(data),
        note=unscored(data, "auroc"),
        wide=(7.0, 1.5 + 0.27 * drawn + 0.3 * len(groups)),
        narrow=(3.7, 2.1 + 0.27 * drawn + 0.3 * len(groups)),
    )


def early_warning(table: pd.DataFrame) -> Plot:
    """Share of sentences that an alarm announces, by distance and rate of false alarms, one panel per model.

    Args:
        table: one row per rate and offset with columns role (base | reasoning), allowed (rate of false alarms), offset,
            caught, caught_low, caught_high, ahead.
    Raises:
        FormatError: columns are missing or hold something else, or a point stands twice.
    """
    what = "early_warning"
    shares = ["caught", "caught_low", "caught_high", "ahead"]
    data = checked(table, what, ("role",), ["allowed", "offset", *shares], ["allowed", *shares])
    known_values(data, what, "role", _ROLES)
    no_repeats(data, what, ["role", "allowed", "offset"])
    data = data.sort_values(["role", "allowed", "offset"], ignore_index=True)
    roles, rates = list(dict.fromkeys(data["role"])), sorted(data["allowed"].unique())

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, 1, len(roles), narrow)
        for place, (axes, role) in enumerate(zip(panels, roles, strict=True)):
            _warning_panel(axes, data[data["role"] == role], rates, ROLE_TONES[role])
            axes.set_title(TARGET_NAMES[role])
            if narrow or place == 0:
                draw.percent_axis(axes, "sentences announced")
            axes.set_ylim(0, 1.03)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 4, 5, 10]))
            if not narrow or place == len(roles) - 1:
                axes.set_xlabel("tokens from the start of the sentence")
        keys = [
            draw.line_key(MUTED, f"{words.percent(r)} false alarms", "-", _MARKS[i % 4]) for i, r in enumerate(rates)
        ]
        draw.legend(figure, keys, 1 if narrow else 3)

    return compose(
        paint,
        data,
        name="early_warning",
        title="How early an alarm goes off",
        reading=_warning_reading(data),
        note=unscored(data, "caught"),
        wide=(7.6 if len(roles) > 1 else 5.4, 3.0),
        narrow=(3.7, 2.3 * len(roles) + 0.9),
    )


_MARKS = ("v", "o", "s", "D")


def _in_order(data: pd.DataFrame) -> pd.DataFrame:
    """Groups as they are drawn, within each the kind that is best in either model first."""
    best = data.groupby(["group", "kind"])["auroc"].transform("max")
    place = data["group"].map(list(_GROUPS).index)
    ordered = data.assign(place=place, best=-best).sort_values(["place", "best", "kind", "role"], ignore_index=True)
    return ordered.drop(columns=["place", "best"])


def _grid_panel(
    axes: Axes, data: pd.DataFrame, sites: list[str], offsets: list[float], tone: Tone, narrow: bool
) -> None:
    values = data.pivot(index="site", columns="offset", values="auroc").reindex(index=sites, columns=offsets)
    edges = [np.arange(len(side) + 1) - 0.5 for side in (offsets, sites)]
    axes.pcolormesh(*edges, np.ma.masked_invalid(values.to_numpy()), cmap=draw.ramp(tone), vmin=_RAMP[0], vmax=_RAMP[1])
    crowded = narrow and len(offsets) > _BESIDE
    axes.set_xticks(range(len(offsets)), ["" if crowded and offset % 5 else f"{offset:g}" for offset in offsets])
    axes.set_yticks(range(len(sites)), [site.removesuffix(".resid_post") for site in sites])
    axes.grid(visible=False)
    size = 6.0 if narrow or len(offsets) > 8 else 7.5
    for (y, x), value in np.ndenumerate(values.to_numpy()):
        if value == value and not crowded:
            text = f"{value:.2f}".removeprefix("0")
            ink = CARD if value > 0.85 else INK
            axes.text(x, y, text, ha="center", va="center", fontsize=size, color=ink.light)
    if 0 in offsets and offsets.index(0) > 0:
        axes.axvline(offsets.index(0) - 0.5, color=INK.light, linewidth=1.0)


def _bars_panel(axes: Axes, data: pd.DataFrame, kinds: list[str], roles: list[str]) -> None:
    for place, role in enumerate(roles):
        tone, shift = ROLE_TONES[role], 0.0 if len(roles) == 1 else 0.17 * (1 - 2 * place)
        for row in rows(data[data["role"] == role]):
            y = len(kinds) - 1 - kinds.index(row.kind) + shift
            axes.plot(
                [row.auroc_low, row.auroc_high], [y, y], color=tone.light, linewidth=3, alpha=0.4, label="_interval"
            )
            axes.plot([row.auroc], [y], tone.marker, color=tone.light, markersize=5.5, label="_value")
    axes.set_yticks(range(len(kinds)), list(reversed(kinds)))
    axes.set_ylim(-0.6, len(kinds) - 0.4)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")


def _levels(axes: Axes, data: pd.DataFrame) -> None:
    axes.axvline(0.5, color=RANDOM.light, linewidth=1.2, linestyle=draw.DOTTED, zorder=1.5)
    ceiling = data[data["group"] == "ceiling"]
    if not ceiling.empty:
        axes.axvline(float(ceiling["auroc"].iloc[0]), color=INK.light, linewidth=1.0, linestyle="--", zorder=1.5)


def _warning_panel(axes: Axes, data: pd.DataFrame, rates: list[float], tone: Tone) -> None:
    for place, rate in enumerate(rates):
        some = data[data["allowed"] == rate]
        axes.fill_between(
            some["offset"], some["caught_low"], some["caught_high"], color=tone.light, alpha=0.13, linewidth=0
        )
        strength = 0.45 + 0.55 * (place + 1) / len(rates)
        mark = _MARKS[place % 4]
        axes.plot(
            some["offset"], some["caught"], mark, linestyle="-", color=tone.light, alpha=strength, label=f"_{rate}"
        )


def _grid_reading(data: pd.DataFrame) -> str:
    before = data[data["offset"] < 0]
    parts = []
    for role, some in (data if before.empty else before).groupby("role"):
        top, first = highest(some, "auroc"), some[some["offset"] == some["offset"].min()]
        early = highest(first, "auroc")
        if top is None or early is None:
            continue
        best = words.estimate(top["auroc"], top["auroc_low"], top["auroc_high"])
        parts.append(
            f"{TARGET_NAMES[str(role)]} {best} at {top['site']}, {-top['offset']:.0f} tokens before, and at best "
            f"{early['auroc']:.2f} {-early['offset']:.0f} tokens before"
        )
    return f"Highest AUROC before the sentence: {'; '.join(parts) or 'none could be measured'}; chance is 0.50."


def _bars_reading(data: pd.DataFrame) -> str:
    parts = []
    for role, some in data.groupby("role"):
        named = {g: highest(some[some["group"] == g], "auroc") for g in ("probe", "text")}
        probe, text = named["probe"], named["text"]
        if probe is None:
            continue
        value = words.estimate(probe["auroc"], probe["auroc_low"], probe["auroc_high"])
        said = f"{TARGET_NAMES[str(role)]}: {probe['kind']} {value}"
        parts.append(said if text is None else f"{said} against {text['auroc']:.2f} from text alone")
    ceiling = data[data["group"] == "ceiling"]["auroc"]
    permitted = f"; the planted rule permits {ceiling.iloc[0]:.2f}" if len(ceiling) else ""
    return f"Best AUROC of the {'; '.join(parts) or 'probes is unknown'}{permitted}."


def _shuffled_reading(data: pd.DataFrame) -> str:
    """What shuffled labels leave, and why that need not be chance; empty where it is."""
    shuffled = data[(data["kind"] == _SHUFFLED) & (data["auroc_low"] > 0.5)]
    if shuffled.empty:
        return ""
    top = highest(shuffled, "auroc")
    assert top is not None
    value = words.estimate(top["auroc"], top["auroc_low"], top["auroc_high"])
    return (
        f" Labels shuffled within traces still give up to {value}: every trace keeps its number of positives, so a "
        "probe that tells traces apart is above chance; what lies above this is knowledge of the sentence."
    )


def _warning_reading(data: pd.DataFrame) -> str:
    parts = []
    rate = sorted(data["allowed"].unique())[len(data["allowed"].unique()) // 2]
    for role, some in data[data["allowed"] == rate].groupby("role"):
        last = some.sort_values("offset").iloc[-1]
        half = some[some["caught"] >= 0.5]
        early = f"half of them from {-half['offset'].min():.0f} tokens before" if len(half) else "never half of them"
        caught = words.percent_estimate(last["caught"], last["caught_low"], last["caught_high"])
        parts.append(f"{caught} in the {TARGET_NAMES[str(role)]}, {early}")
    return f"With {words.percent(rate)} false alarms, announced just before they begin: {'; '.join(parts)}."
