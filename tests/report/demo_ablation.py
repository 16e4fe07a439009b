"""Tables of candidates and ablations, as small as figures of them can be."""

from __future__ import annotations

import numpy as np
import pandas as pd


def candidate_table() -> pd.DataFrame:
    rows = []
    for place, add in enumerate((1.2, 0.8, -0.5), 1):
        effects = {"add": add, "add_low": add - 0.1, "add_high": add + 0.1, "ablate": 2 * add}
        rows.append({"name": f"c{place}", "control": False, "place": place, **effects})
    rows.append({"name": "random-0", "control": True, "place": 0, "add": 0.3, "ablate": 0.1})
    rows.append({"name": "left out", "control": False, "place": 0})
    table = pd.DataFrame(rows)
    return table.assign(ablate_low=table["ablate"] - 0.2, ablate_high=table["ablate"] + 0.2)


def agreement_table() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"first": "t", "second": "ablate", "rho": 0.4, "n": 9},
            {"first": "attribution", "second": "ablate", "rho": 0.9, "n": 9},
            {"first": "t", "second": "attribution", "rho": 0.2, "n": 9},
        ]
    )


def damage_table() -> pd.DataFrame:
    rows = [("hold h", "mean", 0.5, 0.1, 1.0), ("hold h", "mean", 1.0, 0.2, 2.5), ("random 0", "random", 1.0, 0.2, 0.1)]
    rows += [("LEACE of the label", "leace", 1.0, 0.1, 3.0), ("matched 0", "matched", 1.0, 0.2, 0.4)]
    table = pd.DataFrame(rows, columns=["arm", "kind", "share", "edit_norm", "fall"])
    return table.assign(kl=table["edit_norm"] / 2)


def screen_table() -> pd.DataFrame:
    table = damage_table()
    return table.assign(estimated=table["fall"] * 0.8, integrated=1.0)


def texts_table() -> pd.DataFrame:
    rows = [("none", "none", 0.04, 0.0, np.nan, np.nan), ("hold h", "mean", 0.01, -0.03, -0.04, -0.02)]
    rows.append(("random", "random", 0.04, 0.001, -0.01, 0.012))
    rows.append(("matched", "matched", 0.035, -0.005, -0.012, 0.002))
    return pd.DataFrame(rows, columns=["arm", "kind", "share", "change", "change_low", "change_high"])


def probes_table() -> pd.DataFrame:
    rows = [("backtracking", "nothing taken out", "none", 0.97), ("backtracking", "LEACE of the label", "leace", 0.55)]
    rows.append(("hesitation", "nothing taken out", "none", 0.9))
    table = pd.DataFrame(rows, columns=["target", "arm", "kind", "auroc"])
    return table.assign(low=table["auroc"] - 0.02, high=table["auroc"] + 0.02)


def sets_table() -> pd.DataFrame:
    rows = [
        ("all", "all", 3.0, np.nan),
        ("alone", "h", 1.0, np.nan),
        ("without", "h", 1.5, 1.5),
        ("without", "m", 2.9, 0.1),
    ]
    table = pd.DataFrame(rows, columns=["part", "name", "fall", "loss"])
    return table.assign(loss_low=table["loss"] - 0.3, loss_high=table["loss"] + 0.3)
