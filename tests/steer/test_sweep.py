"""Sweeps: every row its own prompt, edit and seed."""

from __future__ import annotations

import pytest

from multidir.errors import AlignmentError, ConfigError, ModelError
from multidir.models.generate import generate
from multidir.models.load import LanguageModel
from multidir.models.sampling import Sampling
from multidir.records.site import Site
from multidir.steer.steering import Mixture
from multidir.steer.sweep import Swept, row_seed, sweep
from tests.steer.arms import add

SAMPLED = Sampling(True, 0.9, 0.95, max_new_tokens=16)
PROMPTS = [(f"p{i}", [0, *range(5 + i, 8 + 3 * i)]) for i in range(8)]
DOSES = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0]
CONDITIONS: list[tuple[str, Mixture]] = [(f"d{dose:g}", add(dose)) for dose in DOSES]


def run(lm: LanguageModel, rows: int, **more: object) -> dict[tuple[str, str, int], Swept]:
    lm.model.generation_config.eos_token_id = list(range(1, 400, 16))
    return {s.cell: s for s in sweep(lm, PROMPTS, CONDITIONS, 1, SAMPLED, rows, **more)}  # type: ignore[arg-type]


def test_batch_of_48_is_token_identical_to_batches_of_one(lm: LanguageModel) -> None:
    together = run(lm, 48)
    assert len(together) == 48
    assert together == run(lm, 1)
    assert together == run(lm, 13)


def test_dose_zero_equals_no_intervention(lm: LanguageModel) -> None:
    swept = run(lm, 48)
    for name, ids in PROMPTS:
        (plain,) = generate(lm, [ids], [row_seed(0, name, 0)], SAMPLED)
        assert swept["d0", name, 0].generation == plain
        assert swept["d0", name, 0].positions_edited == 0
        assert swept["d4", name, 0].positions_edited == len(swept["d4", name, 0].generation.token_ids) - 1


def test_one_batch_holds_all_doses(lm: LanguageModel) -> None:
    """No loop over doses: the whole sweep is one generation of 48 rows."""
    shapes: list[int] = []
    handle = lm.model.lm_head.register_forward_hook(lambda m, a, out: shapes.append(out.shape[0]))
    run(lm, 48)
    handle.remove()
    assert shapes[0] == 48
    assert len(shapes) <= 16


def test_conditions_share_random_numbers_and_rollouts_do_not(lm: LanguageModel) -> None:
    found = list(sweep(lm, PROMPTS[:2], [("a", None), ("b", None)], 3, SAMPLED))
    by_cell = {s.cell: s for s in found}
    assert len(by_cell) == 12
    for name in ("p0", "p1"):
        for rollout in range(3):
            assert by_cell["a", name, rollout].generation == by_cell["b", name, rollout].generation
        assert len({by_cell["a", name, r].seed for r in range(3)}) == 3
    assert by_cell["a", "p0", 0].generation != by_cell["a", "p0", 1].generation


def test_seeds_are_stable_and_fit_json() -> None:
    assert row_seed(0, "p", 0) == row_seed(0, "p", 0)
    seeds = {row_seed(s, p, r) for s in range(5) for p in "abc" for r in range(5)}
    assert len(seeds) == 75
    assert all(0 <= s < 2**53 for s in seeds)


def test_done_cells_are_skipped_and_the_rest_is_the_same(lm: LanguageModel) -> None:
    whole = run(lm, 48)
    done = set(list(whole)[:29])
    rest = run(lm, 10, skip=done)
    assert rest.keys() == whole.keys() - done
    assert all(rest[cell] == whole[cell] for cell in rest)
    assert run(lm, 10, skip=set(whole)) == {}


def test_rows_of_one_batch_may_differ_in_everything(lm: LanguageModel) -> None:
    conditions: list[tuple[str, Mixture]] = [
        ("none", None),
        ("late", add(3.0, site=Site(2))),
        ("generated", add(3.0, scope="generated")),
        ("two", (add(3.0), add(2.0, seed=1, site=Site(0)))),
    ]
    together = {s.cell: s for s in sweep(lm, PROMPTS, conditions, 1, SAMPLED)}
    for key, mixture in conditions:
        alone = {s.cell: s for s in sweep(lm, PROMPTS, [(key, mixture)], 1, SAMPLED, 3)}
        assert all(together[cell] == alone[cell] for cell in alone)
    one = together["two", "p0", 0]
    assert one.positions_edited == 2 * (len(one.generation.token_ids) - 1)
    assert together["generated", "p0", 0].positions_edited == len(together["generated", "p0", 0].generation.new_ids)


def test_bad_input_is_refused_before_anything_is_generated(lm: LanguageModel) -> None:
    ran: list[int] = []
    handle = lm.model.register_forward_pre_hook(lambda *_: ran.append(1))
    with pytest.raises(ConfigError, match=r"prompt ids of a sweep .* got p0 twice"):
        sweep(lm, [PROMPTS[0]] * 2, CONDITIONS, 1, SAMPLED)
    with pytest.raises(ConfigError, match=r"condition keys of a sweep .* got d0 twice"):
        sweep(lm, PROMPTS, [CONDITIONS[0]] * 2, 1, SAMPLED)
    with pytest.raises(ConfigError, match="got none"):
        sweep(lm, [], CONDITIONS, 1, SAMPLED)
    with pytest.raises(ConfigError, match="rollouts >= 1"):
        sweep(lm, PROMPTS, CONDITIONS, 0, SAMPLED)
    with pytest.raises(ConfigError, match=r"L9\.resid_post is beyond"):
        sweep(lm, PROMPTS, [("a", None), ("b", add(1.0, site=Site(9)))], 1, SAMPLED)
    with pytest.raises(ConfigError, match=r"not finite in torch\.float32"):
        sweep(lm, PROMPTS, [("huge", add(1e39))], 1, SAMPLED)
    with pytest.raises(ConfigError, match="positions"):
        sweep(lm, [("long", [5] * 250)], CONDITIONS, 1, SAMPLED)
    with pytest.raises(AlignmentError, match="token id 9999"):
        sweep(lm, [("odd", [9999])], CONDITIONS, 1, SAMPLED)
    handle.remove()
    assert ran == []


def test_logits_that_are_not_finite_name_the_conditions(lm: LanguageModel) -> None:
    lm.model.lm_head.weight[7] = float("nan")
    with pytest.raises(ModelError, match="not finite") as error:
        list(sweep(lm, PROMPTS, [("huge", add(1.0))], 1, SAMPLED))
    assert "huge" in str(error.value.__notes__)
