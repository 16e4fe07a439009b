"""Planted mechanism in, right label out; a null in, no interaction out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from multidir.errors import ConfigError
from multidir.experiments.combination.mechanisms import MECHANISMS, Mechanism
from multidir.experiments.combination.pair_axes import PairAxes
from multidir.experiments.combination.pair_reading import (
    Doses,
    Evidence,
    LogOdds,
    dose_axis,
    log_odds_axis,
    read_pair,
    silent,
)
from multidir.experiments.combination.rules import CombinationRules
from multidir.records.combination import Combination
from multidir.stats.contrast import Contrast
from multidir.stats.estimate import Estimate
from tests.experiments.pairs import study

RULES = CombinationRules()


def around(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half, 100, "test")


def evidence(
    delta: float, error: float, exponent: Estimate, hazard: float = 0.5, best: float = 0.5, **axes: object
) -> Evidence:
    contrast = Contrast(delta, np.array([error] + [0.0] * 99), 100)
    known = {
        "exponent": exponent,
        "exponent_wide": exponent,
        "hazard": around(hazard, 0.08),
        "hazard_90": around(hazard, 0.07),
        "hazard_wide": around(hazard, 0.1),
        "share": around(delta / 10, 0.01),
        "over_best": around(best, 0.1),
        "over_sham": around(1.0, 0.1),
    }
    return Evidence((0, 1), contrast, contrast.p_beyond(RULES.inner_margin), PairAxes(**(known | axes)))  # type: ignore[arg-type]


ONE, SUPER, NORM, LOW = around(1, 0.1), around(1.4, 0.1), around(0.5, 0.1), around(0.2, 0.1)


@pytest.mark.parametrize(
    ("case", "label"),
    [
        (evidence(0.0, 0.05, ONE), Combination.ADDITIVE),
        (evidence(1.0, 0.1, ONE), Combination.THRESHOLD_POOLING),
        (evidence(-0.6, 0.1, ONE), Combination.THRESHOLD_POOLING),
        (evidence(1.0, 0.1, SUPER), Combination.SYNERGY),
        (evidence(1.0, 0.1, Estimate(1.5, 1.5, math.inf, 100, "test")), Combination.SYNERGY),
        (evidence(-0.7, 0.1, around(-0.5, 0.2), best=-0.4), Combination.ANTAGONISM),
        (evidence(0.0, 0.05, LOW), Combination.INDEPENDENT_CAUSES),
        (evidence(-0.35, 0.05, LOW, hazard=0.0), Combination.INDEPENDENT_CAUSES),
        (evidence(0.25, 0.05, NORM, hazard=0.4), Combination.NORM_ONLY),
        (evidence(-0.5, 0.05, LOW, hazard=-0.3), Combination.REDUNDANT),
        (evidence(0.25, 0.12, ONE), Combination.UNDETERMINED),
        (evidence(1.0, 0.1, around(1.15, 0.2)), Combination.UNDETERMINED),
        (evidence(0.0, 0.05, SUPER, beyond=True), Combination.INDEPENDENT_CAUSES),
        (evidence(0.0, 0.05, SUPER), Combination.UNDETERMINED),
        (evidence(0.25, 0.12, SUPER), Combination.UNDETERMINED),
        (evidence(1.0, 0.1, around(1.02, 0.3), flat=("a",)), Combination.UNDETERMINED),
        (evidence(0.0, 0.05, NORM, hazard=0.2), Combination.UNDETERMINED),
        (evidence(math.nan, 0.05, ONE), Combination.UNDETERMINED),
        (evidence(1.0, 0.1, Estimate(math.nan, math.nan, math.nan, 0, "not run")), Combination.UNDETERMINED),
    ],
)
def test_regions_of_the_plane(case: Evidence, label: Combination) -> None:
    assert read_pair(case, RULES) is label


@pytest.mark.parametrize(("delta", "exponent", "hazard"), [(0.0, ONE, 0.5), (0.0, LOW, 0.5), (-0.5, LOW, -0.3)])
def test_how_effects_add_is_only_said_of_two_effects(delta: float, exponent: Estimate, hazard: float) -> None:
    """A dose below every threshold: nothing happens alone, and nothing together."""
    seen, half, noise = around(0.7, 0.2), around(0.2, 0.1), around(0.5, 0.6)
    both = read_pair(evidence(delta, 0.05, exponent, hazard, lifts=(seen, seen)), RULES)
    assert both in (Combination.ADDITIVE, Combination.INDEPENDENT_CAUSES, Combination.REDUNDANT)
    for weak in (half, noise):
        case = evidence(delta, 0.05, exponent, hazard, lifts=(seen, weak))
        assert silent(case.axes, RULES) == (1,)
        assert read_pair(case, RULES) is Combination.UNDETERMINED
    gate = evidence(1.0, 0.1, SUPER, lifts=(half, noise))
    assert read_pair(gate, RULES) is Combination.SYNERGY, "a pure gate does nothing alone"


def test_a_plateau_is_no_synergy() -> None:
    """The monotone curve says more than twice the dose, the raw rung at twice the dose does not."""
    assert read_pair(evidence(1.0, 0.1, SUPER, over_sham=around(0.05, 0.1)), RULES) is Combination.UNDETERMINED


def test_a_flat_ladder_says_nothing_unless_the_pair_is_off_it() -> None:
    flat = {"flat": ("a", "b")}
    assert dose_axis(evidence(0.0, 0.05, ONE, **flat).axes, RULES) is Doses.FLAT
    beyond = evidence(2.0, 0.1, Estimate(1.5, 1.5, math.inf, 100, "test"), beyond=True, **flat)
    assert dose_axis(beyond.axes, RULES) is Doses.ABOVE
    assert read_pair(beyond, RULES) is Combination.SYNERGY
    below = evidence(-0.7, 0.1, around(-0.5, 0.2), best=-0.4, **flat)
    assert dose_axis(below.axes, RULES) is Doses.BELOW


def test_a_claim_needs_the_adjusted_p_value() -> None:
    barely = evidence(0.36, 0.125, ONE)
    assert barely.delta.p_beyond(RULES.inner_margin) < 0.05
    assert log_odds_axis(barely, RULES) is LogOdds.SYNERGY
    adjusted = Evidence(barely.pair, barely.delta, 6 * barely.p_claim, barely.axes)
    assert log_odds_axis(adjusted, RULES) is LogOdds.UNDETERMINED


def test_scale_robust_means_one_sign_on_three_scales() -> None:
    assert evidence(0.5, 0.1, ONE, hazard=0.3).scale_robust
    assert not evidence(0.5, 0.1, ONE, hazard=-0.3).scale_robust
    assert not evidence(0.5, 0.1, ONE, share=Estimate(math.nan, math.nan, math.nan, 0, "")).scale_robust


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)
def test_a_planted_mechanism_is_named_or_left_open(mechanism: Mechanism) -> None:
    labels = [study(mechanism.name, seed=seed).pairs[0].label for seed in range(11, 16)]
    assert labels.count(mechanism.label) >= 3
    assert {label for label in labels if label.is_claim} == {mechanism.label}


@pytest.mark.parametrize("mechanism", [m for m in MECHANISMS if m.name != "AND gate"], ids=lambda m: m.name)
def test_nothing_but_the_gate_is_synergy(mechanism: Mechanism) -> None:
    assert not [p for p in study(mechanism.name).pairs if p.label is Combination.SYNERGY]


def test_few_prompts_leave_it_open() -> None:
    labels = {study("one read-out, linear", m=12, rollouts=1).pairs[0].label}
    assert labels == {Combination.UNDETERMINED}


@pytest.mark.parametrize("changes", [{"inner_margin": 0.3}, {"inner_margin": -0.1}, {"ladder_low": 1.1}])
def test_rules_that_contradict_themselves_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="--"):
        CombinationRules(**changes)
