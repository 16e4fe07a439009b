"""Figures of candidates and ablation say in a sentence what they show, and what is unknown."""

from __future__ import annotations

import numpy as np
import pytest

from multidir.report import figures
from tests.report.conftest import drawn
from tests.report.demo_ablation import agreement_table, candidate_table, damage_table, probes_table, sets_table

READINGS = {
    "candidate_effects": "c1, adds 1.20 [1.10, 1.30] log-odds",
    "rank_agreement": "gradient x activation agrees best with what taking out does: Spearman's rho 0.90",
    "ablation_damage": "Most is lost by 'LEACE of the label': 3.00 log-odds",
    "ablation_screen": "Over 4 ablations the estimate correlates",
    "ablation_texts": "with 'hold h' 1.0%; random directions taken out alike change it by 0.1 [-1.0, 1.2] points",
    "ablation_probes": "0.97 as it is, and with 0.55 [0.53, 0.57] after 'LEACE of the label'",
    "ablation_sets": "Of 2 directions 1 are each needed",
}


@pytest.mark.parametrize("name", READINGS)
def test_it_says_what_it_shows(name: str) -> None:
    assert READINGS[name] in drawn(name).reading


def test_both_nulls_are_named() -> None:
    assert "1 random ablations of equal norm take 0.40" in drawn("ablation_damage").reading
    assert "random ablations of equal norm change it by -0.5 [-1.2, 0.2] points" in drawn("ablation_texts").reading


def test_what_is_unknown_is_said() -> None:
    probes = probes_table()
    probes.loc[probes["target"] == "hesitation", ["auroc", "low", "high"]] = np.nan
    assert "1 of 3 points could not be scored" in figures.ablation_probes(probes).note
    empty = damage_table().assign(fall=np.nan)
    assert figures.ablation_damage(empty).reading == "No ablation could be measured."
    assert figures.candidate_effects(candidate_table().assign(place=0)).reading == "No candidate was measured."
    assert figures.rank_agreement(agreement_table().assign(rho=np.nan)).reading.startswith("Too few candidates")
    assert figures.ablation_sets(sets_table().assign(loss=np.nan)).reading.startswith("What is missing without")
