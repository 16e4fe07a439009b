"""Figures of candidates and ablation: they draw what they are given, say it in a sentence, and refuse gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from multidir.errors import FormatError
from multidir.report import figures
from multidir.report.plot import Plot


def candidates() -> pd.DataFrame:
    rows = []
    for place, add in enumerate((1.2, 0.8, -0.5), 1):
        effects = {"add": add, "add_low": add - 0.1, "add_high": add + 0.1, "ablate": 2 * add}
        rows.append({"name": f"c{place}", "control": False, "place": place, **effects})
    rows.append({"name": "random-0", "control": True, "place": 0, "add": 0.3, "ablate": 0.1})
    rows.append({"name": "left out", "control": False, "place": 0})
    table = pd.DataFrame(rows)
    return table.assign(ablate_low=table["ablate"] - 0.2, ablate_high=table["ablate"] + 0.2)


def agreement() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"first": "t", "second": "ablate", "rho": 0.4, "n": 9},
            {"first": "attribution", "second": "ablate", "rho": 0.9, "n": 9},
            {"first": "t", "second": "attribution", "rho": np.nan, "n": 3},
        ]
    )


def damage() -> pd.DataFrame:
    rows = [("hold h", "mean", 0.5, 0.1, 1.0), ("hold h", "mean", 1.0, 0.2, 2.5), ("random 0", "random", 1.0, 0.2, 0.1)]
    rows.append(("LEACE of the label", "leace", 1.0, 0.1, 3.0))
    table = pd.DataFrame(rows, columns=["arm", "kind", "share", "edit_norm", "fall"])
    return table.assign(
        low=table["fall"] - 0.1, kl=table["edit_norm"] / 2, estimated=table["fall"] * 0.8, integrated=1.0
    )


def texts() -> pd.DataFrame:
    rows = [("none", "none", 0.04, 0.0, np.nan, np.nan), ("hold h", "mean", 0.01, -0.03, -0.04, -0.02)]
    rows.append(("random", "random", 0.04, 0.001, -0.01, 0.012))
    return pd.DataFrame(rows, columns=["arm", "kind", "share", "change", "change_low", "change_high"])


def probes() -> pd.DataFrame:
    rows = [("backtracking", "nothing taken out", "none", 0.97), ("backtracking", "LEACE of the label", "leace", 0.55)]
    rows.append(("hesitation", "nothing taken out", "none", np.nan))
    table = pd.DataFrame(rows, columns=["target", "arm", "kind", "auroc"])
    return table.assign(low=table["auroc"] - 0.02, high=table["auroc"] + 0.02)


def sets() -> pd.DataFrame:
    rows = [
        ("all", "all", 3.0, np.nan),
        ("alone", "h", 1.0, np.nan),
        ("without", "h", 1.5, 1.5),
        ("without", "m", 2.9, 0.1),
    ]
    table = pd.DataFrame(rows, columns=["part", "name", "fall", "loss"])
    return table.assign(loss_low=table["loss"] - 0.3, loss_high=table["loss"] + 0.3)


DRAWN = {
    "candidate_effects": (candidates, "c1, adds 1.20 [1.10, 1.30] log-odds"),
    "rank_agreement": (agreement, "gradient x activation agrees best with what taking out does: Spearman's rho 0.90"),
    "ablation_damage": (damage, "Most is lost by 'LEACE of the label': 3.00 log-odds"),
    "ablation_screen": (damage, "Over 3 ablations the estimate correlates"),
    "ablation_texts": (texts, "4.0% of sentences backtrack; with 'hold h' 1.0%"),
    "ablation_probes": (probes, "0.97 as it is, and with 0.55 [0.53, 0.57] after 'LEACE of the label'"),
    "ablation_sets": (sets, "Of 2 directions 1 are each needed"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_it_draws_and_reads(name: str) -> None:
    table, reading = DRAWN[name]
    plot: Plot = getattr(figures, name)(table())
    assert plot.name == name
    assert reading in plot.reading
    assert plot.narrow is not None
    assert plot.svg().startswith("<?xml")
    assert plot.svg() == getattr(figures, name)(table()).svg(), "the same numbers give the same bytes"


@pytest.mark.parametrize("name", DRAWN)
def test_a_missing_column_is_named(name: str) -> None:
    table = DRAWN[name][0]()
    column = {"rank_agreement": "rho", "ablation_sets": "loss", "ablation_probes": "auroc"}.get(name)
    column = column or {"candidate_effects": "add", "ablation_texts": "change"}.get(name, "fall")
    with pytest.raises(FormatError, match=column):
        getattr(figures, name)(table.drop(columns=column))


def test_what_is_unknown_is_said() -> None:
    assert "1 of 3 points could not be scored" in figures.ablation_probes(probes()).note
    empty = damage().assign(fall=np.nan)
    assert figures.ablation_damage(empty).reading == "No ablation could be measured."
    assert figures.candidate_effects(candidates().assign(place=0)).reading == "No candidate was measured."
    assert figures.rank_agreement(agreement().assign(rho=np.nan)).reading.startswith("Too few candidates")
