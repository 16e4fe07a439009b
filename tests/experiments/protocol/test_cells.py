"""Cells of a study as edits: every control has the norms of what it stands beside, and none of its vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from multidir.errors import DesignError
from multidir.experiments.combination.outcomes_table import check_outcomes
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.combination.verdicts import PLANTS
from multidir.experiments.protocol.calibration import own_dose
from multidir.experiments.protocol.cells import (
    Steering,
    StudyCell,
    control_cells,
    own_cells,
    screen_cells,
    token_directions,
    wait_tokens,
)
from multidir.experiments.protocol.design import LADDER, Size
from multidir.experiments.protocol.next_sentences import NextSentences
from multidir.experiments.protocol.plants import MECHANISMS, SIZES, biased, plant_cells, plant_size, shift
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.records.direction import Direction, DirectionSet
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.stats.factorial import design

SITE, OWN, RULES = Site(2), (0.2, 0.3), CombinationRules()
STEERING = Steering(OWN, Scope("generated"))


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return load_model("shipped:tiny/reasoning-and", "reasoning", device="cpu")


@pytest.fixture(scope="module")
def directions() -> DirectionSet:
    a, b = np.random.default_rng(7).standard_normal((2, 128))
    return DirectionSet([Direction.from_vector("a", a, SITE), Direction.from_vector("b", b + 0.5 * a, SITE)])


def test_the_directions_have_a_factorial_ladders_and_flips_each_once(directions: DirectionSet) -> None:
    cells = own_cells(directions, STEERING)
    doses = [cell.doses for cell in cells]
    assert len(set(doses)) == len(doses) == 4 + 2 * (len(LADDER) - 1) + 2
    assert {(0.0, 0.0), (1.0, 1.0), (2.0, 0.0), (0.0, -1.0)} <= set(doses)
    (pair,) = [cell for cell in cells if cell.doses == (1.0, 1.0)]
    assert [item.dose.value for item in pair.edits] == list(OWN)
    assert {str(item.scope) for item in pair.edits} == {"generated"}
    assert len({cell.condition("base").key for cell in cells}) == len(cells)


def test_the_screen_has_every_pair_and_triple_that_a_fraction_lacks() -> None:
    many = DirectionSet([Direction.from_vector(f"d{i}", row, SITE) for i, row in enumerate(np.eye(6, 128))])
    steering = Steering((0.1,) * 6, Scope("generated"))
    screened = {cell.doses for cell in screen_cells(many, steering)}
    assert len(screened) == 1 + 6 + 15 + 20
    run = {cell.doses for cell in own_cells(many, steering)}
    assert len([doses for doses in run if set(doses) <= {0.0, 1.0}]) == 32 + 15 + 6 - len(_even_small())
    assert not screened <= run


def _even_small() -> list[tuple[int, ...]]:
    """Sets of one or two of six directions that the half fraction has anyway: the sixth is on with an odd number."""
    on = [tuple(row) for row in design(6).tolist()]
    return [row for row in on if 0 < sum(row) <= 2]


def test_controls_have_the_norms_of_the_directions_and_other_vectors(
    lm: LanguageModel, directions: DirectionSet
) -> None:
    tokens = token_directions(lm, directions, ("wait", "hmm"))
    cells = control_cells(directions, STEERING, tokens, {}, 3, 0)
    kinds = {cell.control for cell in cells}
    assert kinds == {"orthogonal", "token", "beside:a", "beside:b", "random:1", "random:2", "random:3"}
    for cell in cells:
        assert [e.dose.value for e in cell.edits] == [own for own, dose in zip(OWN, cell.doses, strict=True) if dose]
    assert len({cell.condition("base").key for cell in cells}) == len(cells)
    drawn = [cell.edits[0].subject.unit for cell in cells if cell.control.startswith("random") and len(cell.edits) == 1]
    assert np.abs(np.array(drawn) @ directions.matrix().T).max() < 0.5
    (both,) = [cell for cell in cells if cell.control == "orthogonal" and len(cell.edits) == 2]
    first, second = (item.subject.unit for item in both.edits)
    assert first @ second == pytest.approx(0, abs=1e-9)
    (beside,) = [cell for cell in cells if cell.control == "beside:a" and len(cell.edits) == 2]
    assert beside.edits[1].subject is directions["b"]
    assert beside.edits[0].subject is not directions["a"]


def test_too_few_words_make_no_token_control(lm: LanguageModel, directions: DirectionSet) -> None:
    assert token_directions(lm, directions, ("wait",)) == []
    with pytest.raises(DesignError, match=r"no token .* is one of banana"):
        wait_tokens(lm, ("banana",))


def test_random_pairs_have_the_covariance_that_is_given(directions: DirectionSet) -> None:
    factor = np.zeros((2, 128))
    factor[0, 3], factor[1, 7] = 5.0, 1.0
    cells = control_cells(directions, STEERING, (), {SITE: factor}, 20, 0)
    drawn = np.array([cell.edits[0].subject.unit for cell in cells if cell.control.startswith("random:")])
    assert np.delete(drawn, [3, 7], axis=1) == pytest.approx(0)
    assert (drawn[:, 3] ** 2).mean() > (drawn[:, 7] ** 2).mean()


def test_a_plant_adds_just_its_log_odds_and_leaves_no_hook(lm: LanguageModel) -> None:
    ids = torch.tensor([[5, 6, 7]])
    plain = lm.model(ids).logits
    with biased(lm, (4, 9), 2.5):
        pushed = lm.model(ids).logits
    gap = pushed - plain
    assert gap[..., [4, 9]] == pytest.approx(2.5, abs=1e-5)
    others = [i for i in range(gap.shape[-1]) if i not in (4, 9)]
    assert (gap[..., others] == 0).all()
    assert torch.equal(lm.model(ids).logits, plain)


def test_plants_are_the_mechanisms_that_the_pipeline_has_to_read() -> None:
    assert set(MECHANISMS) == set(PLANTS)
    cells = plant_cells(3)
    assert all(len(cell.doses) == 3 and cell.doses[2] == 0 and not cell.edits for cell in cells)
    assert shift("plant:additive", (1.0, 1.0)) == pytest.approx(2 * shift("plant:additive", (1.0, 0.0)))
    assert shift("plant:antagonist", (1.0, 1.0)) == 0
    assert shift("random:1", (1.0, 1.0)) == 0


def test_draws_share_their_random_numbers_between_cells() -> None:
    low, high = (NextSentences(key, "p", (odds, odds - 1)) for key, odds in (("x", -1.0), ("y", 0.5)))
    a, b = low.draw(4000, 3), high.draw(4000, 3)
    assert (b >= a).all()
    assert (low.draw(4000, 3, shift=1.5) == b).all()
    assert a.shape == (4000, 2)
    assert a.mean(axis=0) == pytest.approx([1 / (1 + np.e), 1 / (1 + np.e**2)], abs=0.03)
    assert (a != low.draw(4000, 4)).any()


def effects(*shares: float, prompts: int = 30) -> np.ndarray:
    """Of 20 places of every prompt so many would backtrack, by dose from 0 on; prompts differ a little."""
    y = np.outer(shares, 20 * np.linspace(0.9, 1.1, prompts))
    return np.stack([y, np.full_like(y, 20)], axis=-1)


GRID = (0.1, 0.2, 0.3, 0.6)
SOUND = (1.0,) * 5


def test_a_ladder_ends_where_the_direction_acts_most(directions: DirectionSet) -> None:
    found = own_dose(directions["a"], GRID, effects(0.02, 0.04, 0.2, 0.3, 0.2), SOUND, RULES)
    assert found.dose == pytest.approx(0.3 / LADDER[-1], rel=0.01)
    assert found.remark == ""
    assert found.curve["lift"].iloc[0] == 0
    assert found.curve["share"].tolist() == pytest.approx([0.02, 0.04, 0.2, 0.3, 0.2])


def test_a_dose_at_which_nothing_is_seen_is_raised_and_that_is_said(directions: DirectionSet) -> None:
    """A steep curve with its best dose early: at a third of it nothing happens yet."""
    steep = effects(0.02, 0.0201, 0.0202, 0.3, 0.29)
    found = own_dose(directions["a"], GRID, steep, SOUND, RULES)
    assert 0.2 < found.dose <= 0.6 / LADDER[-1] + 1e-3
    assert "is raised from 0.106" in found.remark
    kept = own_dose(directions["a"], GRID[:3], steep[:4], SOUND[:4], RULES)
    assert kept.dose == pytest.approx(0.3 / LADDER[-1], rel=0.01)
    assert "no visible effect at any dose that leaves room for a ladder" in kept.remark


def test_incoherent_doses_are_not_used_and_a_silent_direction_is_named(directions: DirectionSet) -> None:
    rising = effects(0.02, 0.1, 0.2, 0.3, 0.4)
    assert own_dose(directions["a"], GRID, rising, (1, 1, 0.9, 0.5, 1), RULES).dose == round(0.2 / LADDER[-1], 4)
    silent = own_dose(directions["a"], GRID, effects(0.02, 0.02, 0.02, 0.02, 0.02), SOUND, RULES)
    assert silent.dose == pytest.approx(0.6 / LADDER[-1], rel=0.01)
    assert "log-odds change by +0.00" in silent.remark
    with pytest.raises(DesignError, match="only 50% of texts are coherent"):
        own_dose(directions["a"], GRID, rising, (1, 0.5, 1, 1, 1), RULES)


def test_what_is_less_than_the_protocol_is_said() -> None:
    assert Size().reduced(100) == ""
    said = Size("next", 50, 16, 10, False).reduced(50)
    assert said.startswith("Reduced design: 50 prompts instead of 100, the sentence after fixed texts")
    assert "10 of 20 random pairs" in said
    assert "no base model" in said


def test_cells_of_a_control_are_rows_that_the_table_accepts() -> None:
    import pandas as pd

    cell = StudyCell("plant:and", (1.0, 1.0))
    row = {"prompt": "p", "rollout": 0, "dose_a": 1.0, "dose_b": 1.0, "sentences": 3, "backtracks": 1}
    assert check_outcomes(pd.DataFrame([row | {"control": cell.control}]))["control"].tolist() == ["plant:and"]


def test_known_answers_are_planted_as_large_as_they_must_be_to_be_seen() -> None:
    margin = RULES.outer_margin
    assert plant_size(np.full(50, -3.0), margin) == 1
    mixed = np.array([-12.0] * 60 + [2.5] * 4 + [-2.0] * 5)
    size = plant_size(mixed, margin)
    rise = [logit(expit(mixed + s * shift("plant:additive", (1.0, 0.0))).mean()) for s in (0, size)]
    assert size > 1
    assert rise[1] - rise[0] >= margin
    assert plant_size(np.array([-40.0] * 9 + [9.0]), margin) == SIZES[-1], "where nothing moves, as large as may be"
