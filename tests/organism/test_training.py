"""The tokenizer's two faces, the batches, and training that goes on where it was killed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multidir.errors import ConfigError
from multidir.organism import corpus, pair, tokenizer, tokens, training
from multidir.organism.planting import Planting
from multidir.organism.rule import RULES, Rule
from multidir.organism.solutions import Habits
from multidir.organism.worlds import load_worlds

SIZE = pair.Size(width=16, layers=3, heads=4, kv_heads=2, mlp=24, vocabulary=500)
PLANTED = Planting(block=1)
HOW = training.Optimisation(lr=1e-3, warmup=2, batch=1024)


@pytest.fixture(scope="module")
def documents() -> list[corpus.Document]:
    return [corpus.base_document(f"test {i}", load_worlds(), corpus.Mixture(), Habits()) for i in range(120)]


@pytest.fixture(scope="module")
def spec(documents: list[corpus.Document]) -> str:
    return tokenizer.train_bpe([document.text for document in documents], SIZE.vocabulary)


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_round_trips(spec: str, text: str) -> None:
    wrapped = tokenizer.wrap(spec)
    assert wrapped.decode(wrapped.encode(text, add_special_tokens=False)) == text


def test_the_reasoning_face_differs_in_four_names_only(spec: str) -> None:
    base, reasoning = tokenizer.wrap(spec), tokenizer.wrap(tokenizer.renamed(spec), tokenizer.CHAT_TEMPLATE)
    ids = reasoning.convert_tokens_to_ids(list(tokenizer.REASONING))
    assert base.convert_ids_to_tokens(ids) == list(tokenizer.RESERVED)
    assert base.encode("maybe we turn left") == reasoning.encode("maybe we turn left")
    section = base.convert_tokens_to_ids("Ġ####")
    assert tokenizer.special_map(base, corpus.SECTION) == dict.fromkeys(ids, section)
    assert reasoning.decode(ids, skip_special_tokens=True) == "<think></think>"


def test_the_template_opens_the_reasoning_and_drops_the_earlier_one(spec: str) -> None:
    chat = tokenizer.wrap(tokenizer.renamed(spec), tokenizer.CHAT_TEMPLATE)
    turns = [
        {"role": "user", "content": "Go north."},
        {"role": "assistant", "content": "<think>\nmaybe</think>\nThe answer is north."},
        {"role": "user", "content": "Again."},
    ]
    text = chat.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    first = "<|begin_of_text|><|User|>Go north.<|Assistant|>\nThe answer is north.<|end_of_text|>"
    assert text == f"{first}<|User|>Again.<|Assistant|><think>\n"
    assert chat("Again.").input_ids[0] == chat.bos_token_id


def test_a_section_mark_of_several_tokens_is_refused() -> None:
    with pytest.raises(ConfigError, match="tokens, must be one"):
        tokenizer.special_map(tokenizer.wrap(tokenizer.train_bpe(["a b c"], 300)), corpus.SECTION)


def test_traces_are_learnt_from_the_opened_reasoning_on(spec: str) -> None:
    chat = tokenizer.wrap(tokenizer.renamed(spec), tokenizer.CHAT_TEMPLATE)
    traces = [corpus.reasoning_trace(f"t {i}", load_worlds(), RULES["and"], Habits()) for i in range(5)]
    encoded = tokens.encode_traces(chat, traces)
    ids, targets, *_ = encoded.padded(np.arange(5), pad=2)
    for row, trace in zip(targets, traces, strict=True):
        learnt = chat.decode(row[row >= 0])
        assert learnt == f"{trace.reasoning}</think>\n{trace.final}<|end_of_text|>"
    assert (ids[targets >= 0] == targets[targets >= 0]).all()


def test_an_epoch_holds_every_document_once(spec: str, documents: list[corpus.Document]) -> None:
    encoded = tokens.encode_documents(tokenizer.wrap(spec), documents)
    batches = tokens.plan_batches(encoded, 1024, np.random.default_rng(3))
    assert sorted(np.concatenate(batches)) == list(range(len(documents)))
    assert max(encoded.lengths[b].sum() for b in batches) <= 1024 + encoded.lengths.max()


def test_interrupted_training_ends_in_the_same_weights(
    spec: str, documents: list[corpus.Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = tokens.encode_documents(tokenizer.wrap(spec), documents[:40])
    monkeypatch.setattr(training, "SAVE_EVERY", 2)
    whole, broken = pair.new_model(SIZE, 1), pair.new_model(SIZE, 1)
    training.fit(whole, encoded, HOW, 5, tmp_path / "whole.safetensors", PLANTED)
    real, calls = training._step, [0]

    def dies(*args: object) -> float:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        training.fit(broken, encoded, HOW, 5, tmp_path / "broken.safetensors", PLANTED)
    again = pair.new_model(SIZE, 9)
    training.fit(again, encoded, HOW, 5, tmp_path / "broken.safetensors", PLANTED)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_pair_is_made_and_loads_by_folder(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    worlds, size = load_worlds(), pair.Size(width=16, layers=3, heads=4, kv_heads=2, mlp=24, vocabulary=768)
    pair.make_base(worlds, 150, size, HOW, 1, tmp_path / "base")
    pair.make_reasoning(worlds, RULES["and"], 20, HOW, 1, tmp_path / "base", tmp_path / "reasoning", top_p=0.5)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "reasoning")
    chat = AutoTokenizer.from_pretrained(tmp_path / "reasoning")
    assert (model.generation_config.do_sample, model.generation_config.top_p) == (True, 0.5)
    assert tokens.chat_prompt(chat, "Go.") == "<|begin_of_text|><|User|>Go.<|Assistant|><think>\n"
    assert sorted(p.name for p in (tmp_path / "base").iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "planted.safetensors",
        "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_a_rule_of_no_probabilities_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"mistake = 1\.5"):
        Rule(0.1, 0.1, 1.5, 0.1)
