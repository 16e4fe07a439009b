"""Gates: a probe decides per row and token whether there is an edit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multidir.errors import ConfigError, ModelError
from multidir.models.capture import capture
from multidir.models.language_model import LanguageModel
from multidir.models.positions import track_positions
from multidir.records.intervention import Intervention
from multidir.records.scope import Gate, Scope
from multidir.records.site import Site
from multidir.steer.steering import row_edits, steer
from tests.steer.arms import add

ROWS = [[0, 5, 6, 7, 8, 9], [0, 318, 16, 18, 203, 83]]
IDS = torch.tensor(ROWS)
WEIGHTS = np.random.default_rng(3).normal(size=32)


def streams(lm: LanguageModel, site: Site) -> np.ndarray:
    """(b, t, d)."""
    return np.stack([found[site].numpy() for _, found in capture(lm, ROWS, [site])])


def gated(gate: Gate, dose: float = 4.0) -> Intervention:
    return add(dose, scope=Scope(gate=gate))


@pytest.mark.parametrize("site", [None, Site(1), Site(0), Site(1, "resid_pre")])
def test_an_edit_happens_exactly_where_the_score_is_above_the_threshold(lm: LanguageModel, site: Site | None) -> None:
    gate = Gate(WEIGHTS, bias=0.4, threshold=1.1, site=site)
    open_ = streams(lm, site or Site(1)) @ WEIGHTS + 0.4 > 1.1
    assert 0 < open_.sum() < open_.size
    before = streams(lm, Site(1))
    with steer(lm, gated(gate)) as edits:
        after = streams(lm, Site(1))
    assert np.array_equal(np.abs(after - before).max(-1) > 1e-3, open_)
    assert edits[0].edited.tolist() == [open_.sum()]


def test_a_gate_reads_what_arrives_not_what_the_edit_makes_of_it(lm: LanguageModel) -> None:
    """Two edits with one gate: the first does not shut it for the second."""
    gate = Gate(WEIGHTS)
    open_ = streams(lm, Site(1)) @ WEIGHTS > 0
    away = Intervention(Site(1), add(1.0).dose, "amplify", Scope(gate=gate))
    with steer(lm, [gated(gate), Intervention(away.subject, away.dose, "amplify", away.scope, order=1)]) as edits:
        lm.model(IDS)
    assert edits[0].edited.tolist() == [open_.sum()]


def test_rows_of_a_batch_have_their_own_gates(lm: LanguageModel) -> None:
    never, always = Gate(WEIGHTS, threshold=1e9), Gate(WEIGHTS, threshold=-1e9, site=Site(0))
    (edits,) = row_edits(lm, [gated(never), gated(always)])
    with track_positions(lm.model) as positions, edits.attach(lm, positions, [0, 1], [3, 3]):
        lm.model(IDS)
    assert edits.edited.tolist() == [0, 6]


def test_gates_that_do_not_fit_are_refused(lm: LanguageModel) -> None:
    with (
        pytest.raises(ConfigError, match="a gate stands at or before the edit"),
        steer(lm, gated(Gate(WEIGHTS, site=Site(2)))),
    ):
        pass
    with (
        pytest.raises(ConfigError, match=r"reads width 5 at L1.* this model's width is 32"),
        steer(lm, gated(Gate(np.ones(5)))),
    ):
        pass


def test_a_gate_that_has_not_read_this_pass_is_an_error(lm: LanguageModel) -> None:
    (edits,) = row_edits(lm, [gated(Gate(WEIGHTS, site=Site(0)))])
    with track_positions(lm.model) as positions, edits.attach(lm, positions, [0], [6]):
        lm.model(IDS)
        positions.current = positions.current.clone()
        turn = lm.model.model.rotary_emb(torch.zeros(1), torch.arange(6)[None])
        with pytest.raises(ModelError, match=r"the gate at L0\.resid_post has not read this pass"):
            lm.model.model.layers[1](torch.zeros(2, 6, 32), position_embeddings=turn)
