"""Receipts: counted per row, checked against what should have been, never a silent no-op."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multidir.errors import ModelError
from multidir.models.generate import generate
from multidir.models.generation import Generation
from multidir.models.language_model import LanguageModel
from multidir.models.sampling import Sampling
from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention
from multidir.records.scope import Gate, Scope
from multidir.records.site import Site
from multidir.steer.receipt import check_fired, check_row, mean_edit_norms
from multidir.steer.steering import row_edits, steer
from tests.steer.arms import add, adding, check_receipts, direction

GREEDY = Sampling(False, max_new_tokens=6)
PROMPT = [0, 83, 318, 16, 18]
IDS = torch.tensor([PROMPT])


def test_a_receipt_that_does_not_fit_is_an_error() -> None:
    edits = adding(Site(1), np.eye(2, 4), np.array([[1.0, 0], [0, 0]]), "all")
    found = [Generation((1, 2, 3, 4), 2, "length")] * 2
    with pytest.raises(ModelError, match=r"row 0: the edit at L1\.resid_post reached 0 token positions, expected 3"):
        check_receipts([edits], found)
    edits.edited[0] = 3
    check_receipts([edits], found)
    edits.edited[1] = 1
    with pytest.raises(ModelError, match=r"row 1: .* reached 1 token positions, expected 0"):
        check_receipts([edits], found)


def test_positions_in_several_scopes_count_once(lm: LanguageModel) -> None:
    lm.model.generation_config.eos_token_id = lm.tokenizer.eos_token = None
    rows = [[add(1.0), add(1.0, seed=1, scope="prompt")], [add(1.0, scope="prompt"), add(2.0, scope="generated")]]
    edits = row_edits(lm, rows)
    found = generate(lm, [PROMPT] * 2, [0] * 2, GREEDY, edits)
    check_receipts(edits, found)
    assert edits[0].edited.tolist() == [10, 10]


def test_scopes_that_tokens_decide_are_expected_to_the_position(lm: LanguageModel) -> None:
    rows = [add(9.0, scope=scope) for scope in ("all from token 16", 'all from text "ait,"', "prompt at sentence end")]
    edits = row_edits(lm, rows)
    found = generate(lm, [PROMPT] * 3, [0] * 3, GREEDY, edits)
    check_receipts(edits, found)
    run = len(found[0].token_ids) - 1
    assert edits[0].edited.tolist()[:2] == [run - 3, len(found[1].token_ids) - 1 - 3]
    assert edits[0].edited[2] == 2, "after the special token and after the stop"
    edits[0].edited[0] -= 1
    with pytest.raises(ModelError, match=f"row 0: .* expected {run - 3};"):
        check_receipts(edits, found)


def test_a_gate_is_between_none_and_all(lm: LanguageModel) -> None:
    never, always = (Gate(np.ones(32), threshold=limit) for limit in (1e9, -1e9))
    rows = [add(2.0, scope=Scope(gate=gate)) for gate in (never, always)]
    edits = row_edits(lm, rows)
    found = generate(lm, [PROMPT] * 2, [0] * 2, GREEDY, edits)
    check_receipts(edits, found)
    assert edits[0].edited.tolist() == [0, len(found[1].token_ids) - 1]
    edits[0].edited[1] += 1
    with pytest.raises(ModelError, match=r"reached \d+ token positions, expected 0 to \d+"):
        check_receipts(edits, found)


def test_norms_of_edits_are_what_was_done(lm: LanguageModel) -> None:
    items = [add(3.0), None, Intervention(Eraser.project_out(direction()), operator="erase")]
    edits = row_edits(lm, items)
    generate(lm, [PROMPT] * 3, [0] * 3, GREEDY, edits)
    (one,) = edits
    assert mean_edit_norms([one])[0] == pytest.approx(3, rel=1e-5)
    assert np.isnan(mean_edit_norms([one])[1])
    assert 0 < mean_edit_norms([one])[2] < 100
    plain = row_edits(lm, [add(3.0), None])
    assert plain[0].plain
    generate(lm, [PROMPT] * 2, [0] * 2, GREEDY, plain)
    assert mean_edit_norms(plain)[0] == pytest.approx(3, rel=1e-5)


def test_edits_that_never_fire_are_an_error_when_the_with_ends(lm: LanguageModel) -> None:
    with pytest.raises(ModelError, match=r"nothing was edited at L1\.resid_post; either this model did not run"):  # noqa: SIM117
        with steer(lm, add(5.0)):
            pass
    with pytest.raises(ModelError, match=r"ran no position in scope \(decoded\)"), steer(lm, add(5.0, scope="decoded")):
        lm.model(IDS)
    with steer(lm, add(5.0, scope="all from token 7")) as edits:  # a condition that is not met is no mistake
        lm.model(IDS)
    assert edits[0].edited.tolist() == [0]
    with steer(lm, add(0.0)):
        lm.model(IDS)


def test_an_error_inside_is_not_hidden_by_the_receipt(lm: LanguageModel) -> None:
    with pytest.raises(ZeroDivisionError), steer(lm, add(5.0)):
        raise ZeroDivisionError


def test_an_edit_that_is_not_finite_is_an_error(lm: LanguageModel) -> None:
    louder = Intervention(Site(1), Dose(1e30, "activation"), "amplify")
    huge = [louder, Intervention(Site(1), Dose(1e30, "activation"), "amplify", order=1)]
    with pytest.raises(ModelError, match=r"row 0: an edit at L1\.resid_post was not finite"), steer(lm, huge):
        lm.model(IDS)
    (edits,) = row_edits(lm, [None, add(1.0)])
    edits.edit_norm_sum[1] = np.inf
    for check in (lambda: check_fired([edits]), lambda: check_row([edits], 1, [], 1)):
        with pytest.raises(ModelError, match="row 1: an edit"):
            check()
