"""Several interventions in one row: which order they have, and when they need one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multidir.errors import ConfigError
from multidir.models.language_model import LanguageModel
from multidir.records.direction import Direction
from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention, Noise
from multidir.records.latent import Latent
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.steer.compose import check_order
from multidir.steer.steering import row_edits
from tests.steer.arms import RELU, TOPK, Sae, add, direction, done
from tests.steer.worlds import interventions

SITE = Site(1)
X, Y, Z = (Direction.from_vector(name, np.eye(32)[i], SITE) for i, name in enumerate("xyz"))
APART = Sae(np.eye(32), np.zeros(32), np.eye(32), np.zeros(32))  # latent i reads and writes along axis i alone


def erase(*directions: Direction) -> Intervention:
    return Intervention(Eraser.project_out(directions), operator="erase")


def clamp(sae: Sae, index: int) -> Intervention:
    return Intervention(Latent(sae, index, SITE), Dose(1, "activation"), "clamp")


PLUS = Intervention(X, Dose(2, "residual"))
LOUDER = Intervention(SITE, Dose(1, "activation"), "amplify")
NOISE = Intervention(Noise(SITE), Dose(1, "residual"), "noise")

FREE = {
    "additions": [PLUS, replace(PLUS, subject=Y), NOISE, NOISE],
    "addition outside of what is erased": [erase(Y, Z), PLUS],
    "erasers at right angles": [erase(X), erase(Y)],
    "clamps of one dictionary": [clamp(RELU, 1), clamp(RELU, 2)],
    "a clamp and what it does not read": [clamp(APART, 1), PLUS],
    "different orders": [erase(X), replace(PLUS, order=1)],
    "windows that do not meet": [replace(erase(X), scope=Scope(end=4)), replace(PLUS, scope=Scope(begin=4))],
    "prompt and decoded": [replace(erase(X), scope=Scope("prompt")), replace(PLUS, scope=Scope("decoded"))],
}
BOUND = {
    "addition along what is erased": [erase(X, Y), PLUS],
    "slanted erasers": [erase(X), Intervention(Eraser.project_out(direction(1)), operator="erase")],
    "noise and erasure": [NOISE, erase(X)],
    "amplified and added": [LOUDER, PLUS],
    "replaced and added": [replace(PLUS, operator="replace"), PLUS],
    "a clamp and what it reads": [clamp(APART, 0), PLUS],
    "clamps of two dictionaries": [clamp(RELU, 1), clamp(Sae.random(seed=5), 2)],
    "latents that compete": [clamp(TOPK, 1), PLUS],
    "clamps in scopes that meet": [clamp(RELU, 1), replace(clamp(RELU, 2), scope=Scope("prompt"))],
    "prompt and generated": [replace(erase(X), scope=Scope("prompt")), replace(PLUS, scope=Scope("generated"))],
}


@pytest.mark.parametrize("name", FREE)
def test_what_commutes_needs_no_order(lm: LanguageModel, name: str) -> None:
    assert row_edits(lm, [FREE[name]], seeds=[0])


@pytest.mark.parametrize("name", BOUND)
def test_what_does_not_commute_is_refused_until_it_has_an_order(lm: LanguageModel, name: str) -> None:
    one, two = BOUND[name]
    message = r"act on the same positions, and one reads what the other writes.*give them different `order`s"
    with pytest.raises(ConfigError, match=message):
        row_edits(lm, [None, BOUND[name]], seeds=[0, 0])
    assert row_edits(lm, [[one, replace(two, order=1)]], seeds=[0])
    assert row_edits(lm, [one, two], seeds=[0, 0]), "in two rows they do not meet"


@settings(max_examples=150)
@given(interventions(), interventions(), st.integers(0, 2**32 - 1))
def test_what_is_let_through_without_an_order_does_commute(a: Intervention, b: Intervention, seed: int) -> None:
    try:
        check_order([a, b])
    except ConfigError:
        return
    if a.operator == b.operator == "clamp":
        return  # both at once
    x = 3 * np.random.default_rng(seed).normal(size=(4, 32))
    np.testing.assert_allclose(done(a, done(b, x)), done(b, done(a, x)), atol=1e-9)


def test_the_lowest_order_is_first_whatever_the_sequence(lm: LanguageModel) -> None:
    first, then = replace(PLUS, order=-3), replace(erase(X), order=7)
    for row in ([first, then], [then, first]):
        (edits,) = row_edits(lm, [row])
        assert [type(term.operator).__name__ for term in edits.terms] == ["Add", "Erase"]


def test_the_message_names_both(lm: LanguageModel) -> None:
    with pytest.raises(ConfigError, match=r"erase 1 of all of x at L1\.resid_post, all and add 2 of x at L1"):
        row_edits(lm, [[erase(X), PLUS]])


def test_mixtures_of_many_directions_are_one_addition(lm: LanguageModel) -> None:
    rows = [[add(float(i + row), seed=i) for i in range(16)] for row in range(5)]
    (edits,) = row_edits(lm, rows)
    assert edits.plain
    assert len(edits.terms) == 1
