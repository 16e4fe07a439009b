"""Sweeps: every row its own prompt, edit and seed."""

from __future__ import annotations

import pytest
import torch

from multidir.errors import AlignmentError, ConfigError, ModelError
from multidir.models.generate import generate
from multidir.models.language_model import LanguageModel
from multidir.models.sampling import Sampling
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.records.stopping import LoopRule
from multidir.steer.steering import Mixture, steer
from multidir.steer.sweep import Swept, row_seed, sweep
from tests.steer.arms import add

SAMPLED = Sampling(True, 0.9, 0.95, max_new_tokens=16)
PROMPTS = [(f"p{i}", [0, *range(5 + i, 8 + 3 * i)]) for i in range(8)]
SECOND = torch.tensor([1])
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


def test_logits_that_are_not_finite_name_the_cell(lm: LanguageModel) -> None:
    handle = lm.model.lm_head.register_forward_hook(lambda _, __, out: out.clone().index_fill_(0, SECOND, float("nan")))
    with pytest.raises(ModelError, match="not finite") as error:
        list(sweep(lm, PROMPTS[:1], [("huge", add(1.0)), ("none", None)], 1, SAMPLED))
    assert "huge of p0" in str(error.value.__notes__)
    handle.remove()
    lm.model.lm_head.weight[7] = float("nan")
    with pytest.raises(ModelError, match="not finite") as error:
        list(sweep(lm, PROMPTS, [("small", add(1.0))], 1, SAMPLED))
    assert "not steered at all" in str(error.value.__notes__)


def test_sharing_prompts_changes_no_token(lm: LanguageModel) -> None:
    """Long prompts of which the rows keep the common beginning once, then once per state, then not at all."""
    prompts = [(f"p{i}", [0, *range(5 + i, 120 + 3 * i)]) for i in range(3)]
    conditions: list[tuple[str, Mixture]] = [
        ("none", None),
        ("all", add(2.0)),
        ("generated", add(3.0, scope="generated")),
        ("late", add(4.0, scope=Scope(begin=100))),
        ("later", (add(4.0, scope=Scope(begin=101)), add(2.0, seed=1, site=Site(2), scope="generated"))),
    ]
    lm.model.generation_config.eos_token_id = list(range(1, 400, 16))
    found = [
        {s.cell: s for s in sweep(lm, prompts, conditions, 3, SAMPLED, rows, share=share)}
        for rows, share in ((48, True), (1, False), (7, True), (11, False), (1, True))
    ]
    assert len(found[0]) == 45
    assert all(each == found[0] for each in found)
    norms = [[each[cell].edit_norm for cell in sorted(each) if cell[0] != "none"] for each in found]
    assert all(other == pytest.approx(norms[0], rel=1e-5) for other in norms)
    assert all(each["none", "p0", 0].edit_norm is None for each in found)


def test_a_prompt_is_run_once_for_all_rows_that_see_it_unedited(lm: LanguageModel) -> None:
    ran: list[int] = []
    embed = lm.model.get_input_embeddings()
    handle = embed.register_forward_pre_hook(lambda _, args: ran.append(args[0].numel()))
    conditions = [(f"{dose}", add(float(dose), scope="generated")) for dose in range(6)]
    list(sweep(lm, [("p", list(range(5, 105)))], conditions, 4, Sampling(False, max_new_tokens=5), 24))
    handle.remove()
    assert ran == [1, 99, 24, 24, 24, 24, 24], "a look at the memory, one prefill, and five steps of all rows"


def test_first_step_divergence_is_from_the_unsteered_model(lm: LanguageModel) -> None:
    conditions: list[tuple[str, Mixture]] = [("a", add(2.0)), ("none", None), ("b", add(4.0, scope="generated"))]
    whole = {s.cell: s for s in sweep(lm, PROMPTS, conditions, 2, SAMPLED)}
    for (key, name, rollout), swept in whole.items():
        ids = torch.tensor([dict(PROMPTS)[name]])
        with steer(lm, dict(conditions)[key], n_prompt=ids.shape[1]):
            p = lm.model(ids).logits[0, -1].log_softmax(-1)
        q = lm.model(ids).logits[0, -1].log_softmax(-1)
        assert swept.generation.first_kl == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-4), (key, rollout)
    done = [cell for cell in whole if cell[0] == "none" or cell[2] == 0]
    rest = {s.cell: s for s in sweep(lm, PROMPTS, conditions, 2, SAMPLED, skip=done)}
    assert rest.keys() == whole.keys() - set(done)
    for cell, swept in rest.items():
        assert swept == whole[cell]
        assert swept.generation.first_kl == pytest.approx(whole[cell].generation.first_kl, abs=1e-5)


def test_loops_are_cut_off_and_recorded(lm: LanguageModel) -> None:
    rule = LoopRule(repeats=3, min_tokens=6, max_period=4)
    lm.model.lm_head.weight.zero_()
    (swept,) = sweep(lm, PROMPTS[:1], [("none", None)], 1, Sampling(False, max_new_tokens=20), loops=rule)
    assert (swept.generation.stopped, swept.generation.finished) == ("loop", False)
    assert swept.generation.new_ids == (0,) * 6
    (whole,) = sweep(lm, PROMPTS[:1], [("none", None)], 1, Sampling(False, max_new_tokens=20))
    assert (whole.generation.stopped, len(whole.generation.new_ids)) == ("length", 20)


def test_rows_enter_while_others_run(lm: LanguageModel) -> None:
    """As one leaves, the next one begins: the batch stays full until nothing waits."""
    lm.model.generation_config.eos_token_id = list(range(1, 400, 16))
    widths: list[int] = []
    handle = lm.model.lm_head.register_forward_hook(lambda _m, _a, out: widths.append(out.shape[0]))
    found = list(sweep(lm, PROMPTS, CONDITIONS, 2, SAMPLED, 8))
    handle.remove()
    steps = sum(len(s.generation.new_ids) for s in found)
    assert sum(widths) == steps
    full = [width == 8 for width in widths]
    assert all(full[: full.index(False)]), "it thins out at the end alone"
    assert full.index(False) > 0.6 * len(full)


def test_memory_that_runs_out_halves_the_batch(lm: LanguageModel) -> None:
    whole = run(lm, 48)
    sizes: list[int] = []

    def limited(_module: object, args: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(args[0]))
        if len(args[0]) > 10:
            raise torch.OutOfMemoryError("no room")

    handle = lm.model.lm_head.register_forward_pre_hook(limited)
    assert run(lm, 48) == whole
    handle.remove()
    assert [size for size in sizes if size > 10] == [48, 24, 12]
    handle = lm.model.lm_head.register_forward_pre_hook(lambda _m, args: limited(_m, (torch.zeros(11),)))
    with pytest.raises(ModelError, match="not enough memory for a single row"):
        run(lm, 48)
    handle.remove()


def test_whoever_gets_a_text_finds_the_model_as_it_was(lm: LanguageModel) -> None:
    """Texts come while other rows still run; what is scored in between must not be steered along with them."""
    prompts = [(f"p{i}", [0, *range(5 + i, 120 + i)]) for i in range(3)]
    ids = torch.tensor([prompts[0][1]])
    before, attention = lm.model(ids).logits, lm.model.config._attn_implementation
    lm.model.generation_config.eos_token_id = list(range(1, 400, 16))
    found = []
    for swept in sweep(lm, prompts, [("none", None), ("a", add(4.0)), ("b", add(8.0))], 4, SAMPLED, 6):
        found.append(swept)
        assert torch.equal(lm.model(ids).logits, before)
        assert lm.model.config._attn_implementation == attention
    assert len(found) == 36
