"""The shipped tiny pair: what it promises to everything that is tested with it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from multidir import resources
from multidir.models.align import decode_text, token_spans
from multidir.models.generate import generate
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.models.logprobs import mean_logprobs
from multidir.models.prompting import render_prompt
from multidir.models.sampling import Sampling
from multidir.models.special import SpecialMap, differing_ids
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.steer.sweep import sweep


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    return load_model("shipped:tiny/base", "base", device="cpu")


@pytest.fixture(scope="module")
def reasoning() -> LanguageModel:
    return load_model("shipped:tiny/reasoning-and", "reasoning", device="cpu")


@pytest.fixture(scope="module")
def prompts(reasoning: LanguageModel) -> list[tuple[str, tuple[int, ...]]]:
    rows = [json.loads(line) for line in resources.path("prompts/tiny.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(row["id"], render_prompt(reasoning.tokenizer, row["problem"])) for row in rows[:8]]


def test_same_shape_and_vocabulary(base: LanguageModel, reasoning: LanguageModel) -> None:
    assert (base.d, base.n_layers, base.vocab_size) == (reasoning.d, reasoning.n_layers, reasoning.vocab_size)
    assert base.fingerprint != reasoning.fingerprint


def test_special_map_covers_what_the_base_model_does_not_know(base: LanguageModel, reasoning: LanguageModel) -> None:
    table = SpecialMap.load(resources.path("tiny/reasoning-and/special_map.json"))
    assert set(differing_ids(reasoning.tokenizer, base.tokenizer)) == set(table.table)


def test_traces_align_and_the_base_model_can_read_them(
    base: LanguageModel, reasoning: LanguageModel, prompts: list[tuple[str, tuple[int, ...]]]
) -> None:
    table = SpecialMap.load(resources.path("tiny/reasoning-and/special_map.json"))
    sampling = Sampling.of(reasoning, 200)
    found = generate(reasoning, [ids for _, ids in prompts], list(range(8)), sampling)
    for each in found:
        assert each.token_ids.count(reasoning.tokenizer.bos_token_id) == 1
        text = decode_text(reasoning.tokenizer, each.new_ids)
        assert token_spans(reasoning.tokenizer, each.new_ids, text)[-1][1] == len(text)
        assert table.problems(each.token_ids, base.vocab_size) == []
        assert len(table.apply(each.token_ids)) == len(each.token_ids)
    assert sum(each.finished for each in found) >= 6, "it ends by itself"
    assert all(score is not None and score > -3 for score in mean_logprobs(reasoning, found)), "and means what it says"


def test_dose_curve_is_token_identical_in_any_batch(
    reasoning: LanguageModel, prompts: list[tuple[str, tuple[int, ...]]], rng: np.random.Generator
) -> None:
    direction = Direction.from_vector("random", rng.normal(size=reasoning.d), Site(2))
    doses = (0.0, 2.0, 4.0, 16.0)
    conditions = [(f"{dose}", Intervention(direction, Dose(dose, "residual"))) for dose in doses]
    sampling = Sampling.of(reasoning, 30)
    together = {s.cell: s for s in sweep(reasoning, prompts[:4], conditions, 1, sampling, 16)}
    assert together == {s.cell: s for s in sweep(reasoning, prompts[:4], conditions, 1, sampling, 1)}
