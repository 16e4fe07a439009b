"""Invented tables of a combination study, in the shapes that the recipes write."""

from __future__ import annotations

import numpy as np
import pandas as pd


def pair_table() -> pd.DataFrame:
    """Three pairs: a gate beyond the ladder, two that pool, two that act apart."""
    rows = [
        ("hesitation", "mistake", "synergy", 1.6, 1.46, 1.72, 2.83, 2.83, 1.5, 1.5, np.inf),
        ("hesitation", "doubt", "threshold pooling", 1.05, 0.9, 1.2, 2.0, 2.05, 1.0, 0.93, 1.08),
        ("mistake", "doubt", "independent causes", 0.02, -0.09, 0.12, 1.3, 1.35, 0.4, 0.33, 0.47),
    ]
    names = ["first", "second", "verdict", "delta", "delta_low", "delta_high", "multiple_first", "multiple_second"]
    return pd.DataFrame(rows, columns=[*names, "exponent", "exponent_low", "exponent_high"])


def matrix_table() -> pd.DataFrame:
    """What the matrix draws."""
    return pair_table()[["first", "second", "verdict", "delta", "delta_low", "delta_high"]]


def plane_table() -> pd.DataFrame:
    """What the plane draws."""
    return pair_table().drop(columns=["multiple_first", "multiple_second"])


def isobole_table() -> pd.DataFrame:
    """What the isobole plot draws."""
    return pair_table().drop(columns=["delta", "delta_low", "delta_high"])


def strata_table() -> pd.DataFrame:
    """A gate: both are needed, and where one of them stands the other alone completes it."""
    shares = {
        "neither": (0.003, 0.013, 0.012, 0.11, 0.86),
        "first": (0.04, 0.045, 0.16, 0.11, -0.65),
        "second": (0.04, 0.29, 0.05, 0.18, -0.76),
        "both": (0.85, 0.81, 0.84, 0.87, 0.48),
        "all": (0.065, 0.11, 0.09, 0.14, -0.11),
    }
    rows = [
        ("hesitation", "mistake", place, pushed, share, 0.95 * share, 1.05 * share, delta, delta - 0.12, delta + 0.12)
        for place, (*values, delta) in shares.items()
        for pushed, share in zip(("none", "first", "second", "both"), values, strict=True)
    ]
    names = ["first", "second", "standing", "pushed", "share", "share_low", "share_high"]
    return pd.DataFrame(rows, columns=[*names, "delta", "delta_low", "delta_high"])


def ladder_table() -> pd.DataFrame:
    """The ladders of the three pairs, each with the pair's own level."""
    rows = []
    curves = {"hesitation": (0.07, 0.13, 0.25, 0.42, 0.49), "mistake": (0.07, 0.12, 0.26, 0.43, 0.5)}
    curves["doubt"] = (0.07, 0.11, 0.2, 0.33, 0.41)
    for first, second, verdict, *numbers in pair_table().itertuples(index=False):
        share = {"synergy": 0.56, "threshold pooling": 0.39, "independent causes": 0.19}[verdict]
        e = numbers[-3:]
        middle = (first, second, verdict, "pair", *(2.0**x for x in e), share, share - 0.03, share + 0.03, share)
        rows.append(middle)
        for part, name in (("first", first), ("second", second)):
            for rung, value in zip((0, 1, 2**0.5, 2, 2 * 2**0.5), curves[name], strict=True):
                ends = (value, value - 0.03, value + 0.03, value)
                rows.append((first, second, verdict, part, rung, np.nan, np.nan, *ends))
    names = ["first", "second", "verdict", "part", "multiple", "multiple_low", "multiple_high"]
    return pd.DataFrame(rows, columns=[*names, "share", "share_low", "share_high", "fitted"])


def moebius_table() -> pd.DataFrame:
    """All sets of three directions."""
    sets = ["hesitation", "mistake", "doubt", "hesitation + mistake", "hesitation + doubt", "mistake + doubt"]
    values = [0.7, 0.65, 0.5, 1.6, 1.05, 0.02, -0.4]
    table = pd.DataFrame({"set": [*sets, "hesitation + mistake + doubt"], "order": [1, 1, 1, 2, 2, 2, 3]})
    table["moebius"] = values
    table["moebius_low"], table["moebius_high"] = table["moebius"] - 0.2, table["moebius"] + 0.2
    table["banzhaf"] = table["moebius"] + 0.1
    table["shapley"] = table["moebius"] + 0.05
    return table


def prediction_table() -> pd.DataFrame:
    """One triple, predicted in four ways."""
    gaps = {"adding": 1.3, "pairwise": -0.1, "bliss": 1.8, "read_out": 0.6}
    rows = [
        ("hesitation + mistake + doubt", 3, model, 0.6, 0.6 - gap / 5, gap, gap - 0.3, gap + 0.3)
        for model, gap in gaps.items()
    ]
    names = ["cell", "order", "model", "observed", "predicted", "gap", "gap_low", "gap_high"]
    return pd.DataFrame(rows, columns=names)


def power_table() -> pd.DataFrame:
    """Three sizes, two rollout counts, three planted interactions."""
    rows = [
        (m, r, delta, min(1.0, (0.02 if delta == 0 else abs(delta)) * (m * r / 100) ** 0.5), 0.5, 0.01)
        for m in (30, 100, 300)
        for r in (1, 4)
        for delta in (0.0, 0.3, -0.6)
    ]
    return pd.DataFrame(rows, columns=["prompts", "rollouts", "planted", "claimed", "accepted", "false_claims"])
