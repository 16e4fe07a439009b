"""What each operator does to the residual stream: against its formula in numpy, and what its name promises."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from multidir.errors import ConfigError
from multidir.linalg.basis import orthonormal_basis
from multidir.linalg.erase import ConceptMoments
from multidir.models.hooks import residual_hook
from multidir.models.language_model import LanguageModel
from multidir.models.positions import track_positions
from multidir.records.direction import Direction
from multidir.records.eraser import Eraser
from multidir.records.intervention import TAKES, Dose, Intervention, Noise
from multidir.records.latent import Latent
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.steer.operators.table import OPERATORS
from multidir.steer.steering import Mixture, row_edits, steer
from tests.models.tiny import tiny_lm
from tests.steer.arms import JUMP, RELU, TOPK, Sae, add, direction, done
from tests.steer.worlds import FACTOR, MEAN, interventions

SITE = Site(1)
IDS = torch.tensor([[0, 318, 16, 316, 302], [0, 9, 8, 7, 6], [0, 300, 21, 4, 5], [0, 1, 18, 301, 2]])
EXACT = tiny_lm()
EXACT.model.double()


def streams(
    lm: LanguageModel, rows: Sequence[Mixture], seeds: Sequence[int] | None = None, site: Site = SITE
) -> tuple[np.ndarray, np.ndarray, list]:
    """(b, t, d) residual stream as it arrives at a site and as it leaves it, and the edits."""
    found: list[torch.Tensor] = []
    edits = row_edits(lm, rows, {site: 2.0}, seeds)
    with ExitStack() as stack, torch.no_grad():
        positions = stack.enter_context(track_positions(lm.model))
        stack.enter_context(residual_hook(lm.model, site, lambda h: found.append(h.clone())))
        for edit in edits:
            stack.enter_context(edit.attach(lm, positions, range(len(rows)), [4] * len(rows)))
        stack.enter_context(residual_hook(lm.model, site, lambda h: found.append(h.clone())))
        lm.model(IDS[: len(rows)])
    before, after = (h.to(torch.float64).numpy() for h in found)
    return before, after, edits


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(interventions(), max_size=3), min_size=1, max_size=4))
def test_any_composition_in_any_row_is_its_formulas_one_after_another(drawn: list[list[Intervention]]) -> None:
    """One batch: every row other operators, directions and doses, against numpy in float64."""
    rows = [[replace(item, order=place) for place, item in enumerate(row)] for row in drawn]
    before, after, edits = streams(EXACT, rows, seeds=[7, 8, 9, 10][: len(rows)])
    for row, items in enumerate(rows):
        expected = before[row]
        for item in items:
            size = np.linalg.norm(expected, axis=-1)
            assume(
                item.operator != "amplify" or (size > 1e-3).all() or not size.any()
            )  # the direction of rounding errors
            zero = item.dose.value == 0 and item.operator not in ("clamp", "replace")
            expected = expected if zero else done(item, expected, seed=7 + row)
        np.testing.assert_allclose(after[row], expected, rtol=1e-9, atol=1e-9)
        norms = np.linalg.norm(after[row] - before[row], axis=-1).sum()
        assert sum(e.edit_norm_sum[row] for e in edits) == pytest.approx(norms, abs=1e-6)


def test_every_operator_of_the_record_is_made_and_no_other() -> None:
    assert OPERATORS.keys() == TAKES.keys()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_projection_leaves_nothing_along_the_direction_in_any_dtype(lm: LanguageModel, dtype: torch.dtype) -> None:
    lm.model.to(dtype)
    item = Intervention(Eraser.project_out([direction(0), direction(1)]), operator="erase")
    before, after, _ = streams(lm, [item])
    units = np.stack([direction(0).unit, direction(1).unit])
    size = np.linalg.norm(before, axis=-1).max()
    assert np.abs(after @ units.T).max() < (1e-5 if dtype == torch.float32 else 2**-8) * size
    assert np.abs(before @ units.T).max() > 0.1 * size


def test_mean_ablation_sets_the_component_to_that_of_the_mean(lm: LanguageModel) -> None:
    _, after, _ = streams(lm, [Intervention(Eraser.mean_ablate(direction(0), MEAN), operator="erase")])
    np.testing.assert_allclose(after @ direction(0).unit, MEAN @ direction(0).unit, atol=1e-5)


def test_leace_in_the_stream_leaves_no_linear_trace_of_the_concept(lm: LanguageModel) -> None:
    before, _, _ = streams(lm, [None] * 4)
    x, z = before.reshape(-1, 32), np.random.default_rng(0).integers(0, 2, (20, 1)).astype(float)
    moments = ConceptMoments.of(x, z)
    eraser = Eraser.leace("coin", SITE, moments, shrink=False)
    _, after, _ = streams(lm, [Intervention(eraser, operator="erase")] * 4)
    assert np.abs(moments.xz).max() > 0.1
    np.testing.assert_allclose(ConceptMoments.of(after.reshape(-1, 32), z).xz, 0, atol=1e-4)


@pytest.mark.parametrize("sae", [RELU, JUMP, TOPK], ids=["relu", "jumprelu", "topk"])
def test_a_clamped_latent_moves_and_the_error_term_stays(sae: Sae, lm: LanguageModel) -> None:
    """x = decode(latents) + error; the latents are changed, decoded again, and the same error is put back."""
    active = (sae.encode(streams(lm, [None] * 4)[0]) > 0).reshape(-1, len(sae.b_enc))
    on, off, *_ = np.flatnonzero(active.any(0) & ~active.all(0))
    doses = {int(on): 2.5, int(off): 0.0}
    items = [Intervention(Latent(sae, i, SITE), Dose(a, "activation"), "clamp") for i, a in doses.items()]
    before, after, _ = streams(lm, [items] * 4)
    latents = sae.encode(before)
    error = before - (latents @ sae.W_dec + sae.b_dec)
    latents[..., on], latents[..., off] = 2.5, 0
    np.testing.assert_allclose(after, latents @ sae.W_dec + sae.b_dec + error, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_without_a_dose_are_bit_identical_beside_any_others(lm: LanguageModel, dtype: torch.dtype) -> None:
    lm.model.to(dtype)
    nothing = Intervention(Eraser.project_out(direction()), Dose(0, "share"), "erase")
    louder = Intervention(SITE, Dose(1, "activation"), "amplify", Scope("prompt"), order=1)
    before, after, edits = streams(lm, [[nothing, replace(add(0.0), order=1)], None, [add(2.0), louder], louder])
    for row in (0, 1):
        assert np.array_equal(before[row].view(np.int64), after[row].view(np.int64))
        assert edits[0].edited[row] == 0
    assert np.array_equal(before[3, 4].view(np.int64), after[3, 4].view(np.int64)), "outside of the scope"
    assert (before[2:, :4] != after[2:, :4]).any(-1).all()


def test_both_published_readings_of_self_amplification(lm: LanguageModel) -> None:
    times, longer, relative = (Dose(0.5, unit) for unit in ("activation", "residual", "relative"))
    before, after, _ = streams(lm, [Intervention(SITE, dose, "amplify") for dose in (times, longer, relative)])
    ratio = np.linalg.norm(after, axis=-1) / np.linalg.norm(before, axis=-1)
    np.testing.assert_allclose(ratio[0], 1.5, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(after[1] - before[1], axis=-1), 0.5, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(after[2] - before[2], axis=-1), 0.5 * 2.0, atol=1e-5)


def test_replaced_is_replaced_also_by_zero(lm: LanguageModel) -> None:
    mean = Direction.from_vector("mean", MEAN, SITE)
    rows = [Intervention(mean, Dose(value, "activation"), "replace") for value in (1, 0)]
    _, after, edits = streams(lm, rows)
    np.testing.assert_allclose(after[0], np.broadcast_to(MEAN, (5, 32)), atol=1e-5)
    assert not after[1].any()
    assert edits[0].edited.tolist() == [5, 5]


@pytest.mark.parametrize("factor", [None, FACTOR], ids=["sphere", "covariance"])
@pytest.mark.parametrize("fresh", [True, False])
def test_noise_has_the_norm_of_its_dose_at_every_token(lm: LanguageModel, fresh: bool, factor: np.ndarray) -> None:
    item = Intervention(Noise(SITE, fresh, factor), Dose(3, "residual"), "noise")
    before, after, _ = streams(lm, [item] * 3, seeds=[1, 2, 1])
    noise = after - before
    np.testing.assert_allclose(np.linalg.norm(noise, axis=-1), 3, atol=1e-4)
    np.testing.assert_allclose(noise[0], noise[2], atol=1e-4)
    assert np.abs(noise[0] - noise[1]).max() > 0.1, "another seed"
    assert (np.abs(noise[0, 0] - noise[0, 1]).max() < 1e-4) == (not fresh)
    if factor is not None:
        span = orthonormal_basis(factor)
        np.testing.assert_allclose(noise @ span.T @ span, noise, atol=1e-4)


def test_noise_differs_between_sites_and_covers_its_covariance() -> None:
    here, there = (Intervention(Noise(site, True, FACTOR), Dose(3, "residual"), "noise") for site in (SITE, Site(2)))
    assert np.abs(done(here, np.zeros((1, 32))) - done(there, np.zeros((1, 32)))).max() > 0.1
    drawn = done(here, np.zeros((20_000, 32)))
    found, wanted = drawn.T @ drawn / (9 * 20_000), FACTOR.T @ FACTOR / np.trace(FACTOR.T @ FACTOR)
    assert np.linalg.norm(found - wanted) < 0.2 * np.linalg.norm(wanted), "up to the norm being fixed"
    assert np.linalg.norm(np.eye(32) / 32 - wanted) > 0.8 * np.linalg.norm(wanted), "a sphere is not it"


def test_noise_drawn_in_pieces_is_the_same(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    item = Intervention(Noise(SITE, factor=FACTOR), Dose(3, "residual"), "noise")
    whole = streams(lm, [item] * 3, seeds=[1, 2, 3])[1]
    monkeypatch.setattr("multidir.steer.operators.noise.BLOCK", 200)
    np.testing.assert_allclose(streams(lm, [item] * 3, seeds=[1, 2, 3])[1], whole, atol=1e-5)


def test_noise_needs_seeds(lm: LanguageModel) -> None:
    item = Intervention(Noise(SITE), Dose(3, "residual"), "noise")
    with pytest.raises(ConfigError, match=r"edits at L1\.resid_post draw noise; give a seed for each of the 1 rows"):
        row_edits(lm, [item])
    with pytest.raises(ConfigError, match="2 rows, but 1 seeds"):
        row_edits(lm, [item, None], seeds=[1])
    with steer(lm, item, seed=1) as edits:
        lm.model(IDS)
    assert edits[0].edited.tolist() == [20]


def test_a_latent_is_clamped_once(lm: LanguageModel) -> None:
    twice = [Intervention(Latent(RELU, 3, SITE), Dose(a, "activation"), "clamp") for a in (0, 1)]
    with pytest.raises(ConfigError, match="latent-3 is clamped twice in one row; choose one value"):
        row_edits(lm, [twice])


def test_rows_that_get_the_same_share_one_setting(lm: LanguageModel) -> None:
    eraser, amplify = Eraser.project_out(direction()), Intervention(SITE, Dose(1, "activation"), "amplify")
    item = Intervention(eraser, operator="erase")
    (edits,) = row_edits(lm, [item, amplify, item, None, add(1.0), Intervention(eraser, operator="erase")])
    assert [len(term.operator.tensors().popitem()[1]) for term in edits.terms] == [1, 1, 1]
    assert sorted(term.pick.tolist() for term in edits.terms) == [
        [-1, -1, -1, -1, 0, -1],
        [-1, 0, -1, -1, -1, -1],
        [0, -1, 0, -1, -1, 0],
    ]


def test_another_models_subjects_are_refused(lm: LanguageModel) -> None:
    narrow = direction(d=5)
    for subject, operator, kind in (
        (narrow, "replace", "direction 'random-0'"),
        (Eraser.project_out(narrow), "erase", "eraser 'random-0'"),
        (Latent(Sae.random(d=5), 1, SITE), "clamp", "latent 'latent-1'"),
        (Noise(SITE, factor=np.eye(5)), "noise", "noise 'noise'"),
    ):
        dose = Dose(1, {"erase": "share", "clamp": "activation"}.get(operator, "residual"))  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=f"{kind} has width 5, tiny random Llama has 32"):
            row_edits(lm, [Intervention(subject, dose, operator)], seeds=[0])  # type: ignore[arg-type]
