"""Figures of projections along traces: their distribution by group of tokens, their course around a sentence."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multidir.report import draw, words
from multidir.report.cells import checked, highest, known_values, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import INK, RANDOM, ROLE_NAMES, ROLE_TONES

_ROLES = ("base", "reasoning")
_GROUPS = ("all tokens", "before the label", "before other sentences", "keywords")
_AT = {"all tokens": "over all tokens", "before the label": "before backtracking", "keywords": "at keywords"}
_LINES = {"before other sentences": (0, (4, 2)), "keywords": (0, (1, 1.4))}


def token_density(density: pd.DataFrame) -> Plot:
    """Distribution of the projection over all tokens, over those before the behaviour, and over the keywords.

    Args:
        density: one row per role, group (all tokens | before the label | before other sentences | keywords) and bin
            with columns role, group, bin_low, bin_high, count, share, median; a group without tokens has no share.
    Raises:
        FormatError: columns are missing or hold something else; a bin stands twice.
    """
    what = "token_density"
    data = checked(density, what, ("role", "group"), ["bin_low", "bin_high", "count", "share", "median"], ["share"])
    known_values(data, what, "role", _ROLES)
    known_values(data, what, "group", _GROUPS)
    no_repeats(data, what, ["role", "group", "bin_low"])
    data = data.sort_values(["role", "group", "bin_low"], ignore_index=True)
    roles = [role for role in _ROLES if (data["role"] == role).any()]

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, 1, len(roles), narrow)
        for axes, role in zip(panels, roles, strict=True):
            _density_panel(axes, data[data["role"] == role], role)
        for axes in panels if narrow else panels[:1]:
            draw.percent_axis(axes, "share of the group")
        for axes in panels[-1:] if narrow else panels:
            axes.set_xlabel("projection (sd)" if narrow else "projection (standard deviations over all tokens)")
        draw.legend(figure, _density_keys(data, roles), 1 if narrow else 3)

    return compose(
        paint,
        data,
        name="token_density",
        title="Projection of every token, and of those before backtracking",
        reading=_density_reading(data, roles),
        note=unscored(data, "share"),
        wide=(7.6 if len(roles) > 1 else 5.4, 3.3),
        narrow=(3.7, 2.3 * len(roles) + 1.4),
    )


def projection_profile(profile: pd.DataFrame) -> Plot:
    """The projection token by token around the start of sentences, and how well each token tells the label.

    Args:
        profile: one row per role and offset with columns role, offset, mean, mean_low, mean_high (sentences with the
            label), other, other_low, other_high (all other sentences), auroc, auroc_low, auroc_high.
    Raises:
        FormatError: columns are missing or hold something else; an offset stands twice.
    """
    what = "projection_profile"
    values = [f"{name}{end}" for name in ("mean", "other", "auroc") for end in ("", "_low", "_high")]
    data = checked(profile, what, ("role",), ["offset", *values], values[6:])
    known_values(data, what, "role", _ROLES)
    no_repeats(data, what, ["role", "offset"])
    data = data.sort_values(["role", "offset"], ignore_index=True)
    roles = [role for role in _ROLES if (data["role"] == role).any()]

    def paint(figure: Figure, narrow: bool) -> None:
        shape = (2 * len(roles), 1) if narrow else (len(roles), 2)
        panels = list(figure.subplots(*shape, squeeze=False, sharex=True).ravel())
        for place, role in enumerate(roles):
            _course_panel(panels[2 * place], data[data["role"] == role], role)
            _auroc_panel(panels[2 * place + 1], data[data["role"] == role], role)
        for place, axes in enumerate(panels):
            draw.sentence_start(axes, label=place >= len(panels) - shape[1])
        keys = [draw.line_key(ROLE_TONES[role], f"before backtracking, {ROLE_NAMES[role]}", "-", " ") for role in roles]
        draw.legend(figure, [*keys, draw.line_key(RANDOM, "before other sentences", "-", " ")], 1 if narrow else 3)

    return compose(
        paint,
        data,
        name="projection_profile",
        title="Projection around the start of a sentence",
        reading=_profile_reading(data, roles),
        note=unscored(data, "auroc"),
        wide=(7.6, 2.6 * len(roles) + 0.6),
        narrow=(3.7, 4.4 * len(roles) + 0.8),
    )


def _density_panel(axes: Axes, data: pd.DataFrame, role: str) -> None:
    axes.set_title(f"{ROLE_NAMES[role]} direction")
    for group in _GROUPS:
        some = data[(data["group"] == group) & data["share"].notna()]
        if some.empty:
            continue
        edges = [*some["bin_low"], some["bin_high"].iloc[-1]]
        tone = RANDOM if group == "all tokens" else INK if group in _LINES else ROLE_TONES[role]
        if group == "all tokens":
            axes.stairs(some["share"], edges, fill=True, color=tone.light, alpha=0.35, linewidth=0)
        axes.stairs(
            some["share"],
            edges,
            color=tone.light,
            linewidth=0.9 if group in _LINES else 1.6,
            linestyle=_LINES.get(group, "-"),
            label=f"{role}/{group}",
        )


def _density_keys(data: pd.DataFrame, roles: list[str]) -> list[object]:
    keys: list[object] = [draw.band_key(RANDOM, "all tokens")]
    keys += [draw.line_key(ROLE_TONES[role], f"before backtracking, {ROLE_NAMES[role]}", "-", " ") for role in roles]
    there = set(data.loc[data["share"].notna(), "group"])
    return [*keys, *(draw.line_key(INK, group, line, " ") for group, line in _LINES.items() if group in there)]


def _density_reading(data: pd.DataFrame, roles: list[str]) -> str:
    parts = []
    for role in roles:
        medians = data[(data["role"] == role) & data["share"].notna()].groupby("group")["median"].first()
        if "before the label" in medians:
            listed = [f"{medians[group]:.2f} {_AT.get(group, group)}" for group in _GROUPS if group in medians]
            parts.append(f"on the {ROLE_NAMES[role]} direction {words.joined(listed)}")
    return (
        f"Median projection, in standard deviations: {'; '.join(parts)}." if parts else "No token could be projected."
    )


def _course_panel(axes: Axes, data: pd.DataFrame, role: str) -> None:
    axes.set_title(f"{ROLE_NAMES[role]} direction")
    for name, tone in (("other", RANDOM), ("mean", ROLE_TONES[role])):
        ends = data[f"{name}_low"], data[f"{name}_high"]
        axes.fill_between(data["offset"], *ends, color=tone.light, alpha=0.2, linewidth=0)
        axes.plot(data["offset"], data[name], color=tone.light, linewidth=1.8, label=f"{role}/{name}")
    axes.set_ylabel("projection (sd)")


def _auroc_panel(axes: Axes, data: pd.DataFrame, role: str) -> None:
    tone = ROLE_TONES[role]
    axes.set_title("told from other sentences")
    axes.fill_between(data["offset"], data["auroc_low"], data["auroc_high"], color=tone.light, alpha=0.2, linewidth=0)
    axes.plot(data["offset"], data["auroc"], color=tone.light, linewidth=1.8, label=f"{role}/auroc")
    draw.to_one(axes, min([0.3, *(data["auroc_low"].dropna() - 0.02)]))
    axes.set_ylabel("AUROC")
    draw.level(axes, 0.5, "chance")


def _profile_reading(data: pd.DataFrame, roles: list[str]) -> str:
    parts = []
    for role in roles:
        top = highest(data[(data["role"] == role) & (data["offset"] < 0)], "auroc")
        if top is not None:
            auroc = words.estimate(top["auroc"], top["auroc_low"], top["auroc_high"])
            parts.append(f"{top['offset']:g} on the {ROLE_NAMES[role]} direction (AUROC {auroc})")
    first = list(rows(data[data["offset"] == 0]))
    at_start = [f"{words.estimate(r.auroc, r.auroc_low, r.auroc_high)} ({ROLE_NAMES[r.role]})" for r in first]
    tail = f"; at its first token {words.joined(at_start)}" if at_start else ""
    return (
        f"Of the tokens before a sentence the most telling is {words.joined(parts)}{tail}."
        if parts
        else ("No token before a sentence could be compared.")
    )
