"""Invented tables of a contest of mixtures, in the shapes that the recipe writes."""

from __future__ import annotations

import pandas as pd

MATCHED = (("KL", 0.0), ("norm", 0.4))


def contest_table() -> pd.DataFrame:
    """A mixture, a sparser one, singles, the linear read-out and what means nothing, at both ways of matching."""
    gains = {
        "mixture": ("mixture", 6, 2.6, 2.1),
        "mixture of 2": ("path", 2, 2.0, 1.9),
        "linear read-out": ("linear", 6, 2.0, 2.05),
        **{f"single d{i}": ("single", 1, 1.4 - 0.1 * i, 1.3 - 0.1 * i) for i in range(6)},
        "random mixture": ("random", 6, -0.2, -0.1),
        "free vector": ("free", 0, 4.0, 3.0),
    }
    rows = [
        (name, kind, used, matched, seen, held - less, held - less - 0.2, held - less + 0.2)
        for matched, less in MATCHED
        for name, (kind, used, seen, held) in gains.items()
    ]
    names = ["contender", "kind", "n_used", "matched", "gain_seen", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=names)


def frontier_table() -> pd.DataFrame:
    """Two mixtures of the path, the best single direction, the free vector."""
    contest = contest_table()
    kept = contest["contender"].isin(["mixture", "mixture of 2", "single d0", "free vector"])
    return contest[(contest["matched"] == "KL") & kept]


def texts_table() -> pd.DataFrame:
    """Shares in whole texts: the search's own is flattered."""
    shares = {
        "mixture": ("mixture", 0.16, 0.15),
        "mixture by search": ("search", 0.24, 0.17),
        "single d0": ("single", 0.09, 0.08),
        "linear read-out": ("linear", 0.14, 0.14),
        "unsteered": ("none", 0.06, 0.06),
    }
    rows = [
        (name, kind, matched, float("nan") if matched == "norm" else seen, held, held - 0.02, held + 0.02)
        for matched, _ in MATCHED
        for name, (kind, seen, held) in shares.items()
    ]
    return pd.DataFrame(
        rows, columns=["contender", "kind", "matched", "share_search", "share", "share_low", "share_high"]
    )


def front_table() -> pd.DataFrame:
    """Three budgets of two contenders, and nothing at all."""
    rows = [
        ("unsteered", "none", 0.0, 0.0, 0.06, 0.0, True),
        ("mixture", "mixture", 0.25, 0.24, 0.11, 0.0, True),
        ("mixture", "mixture", 0.5, 0.49, 0.15, 0.01, True),
        ("mixture", "mixture", 1.0, 1.02, 0.22, 0.05, True),
        ("single d0", "single", 0.25, 0.26, 0.07, 0.0, False),
        ("single d0", "single", 0.5, 0.52, 0.08, 0.02, False),
        ("single d0", "single", 1.0, 1.1, 0.1, 0.1, False),
    ]
    table = pd.DataFrame(rows, columns=["contender", "kind", "budget", "p95_kl", "share", "lost_share", "front"])
    table.insert(5, "loop_share", table["lost_share"] / 2)
    return table
