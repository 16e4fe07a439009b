from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from multidir.annotate.text_measures import overlap
from multidir.errors import ConfigError, DesignError, FormatError
from multidir.experiments.corpus.more_prompts import categories
from multidir.experiments.corpus.prompts import read_prompts, split_prompts, write_prompts
from multidir.records.text import Prompt

SET = [Prompt(f"{c}_{i}", c, f"problem {i}") for c in ("a", "b", "c") for i in range(10)]


def test_splits_are_disjoint_even_and_reproducible() -> None:
    splits = split_prompts(SET, {"derive": 4, "search": 2, "confirm": 3}, seed=1)
    ids = [p.id for prompts in splits.values() for p in prompts]
    assert len(ids) == len(set(ids)) == 27
    assert all(sum(p.category == c for p in splits["derive"]) == 4 for c in "abc")
    assert splits == split_prompts(SET, {"derive": 4, "search": 2, "confirm": 3}, seed=1)
    assert splits != split_prompts(SET, {"derive": 4, "search": 2, "confirm": 3}, seed=2)


def test_another_category_changes_nothing_for_the_others() -> None:
    more = split_prompts([*SET, *(Prompt(f"d_{i}", "d", "x") for i in range(10))], {"derive": 4}, seed=1)
    assert [p for p in more["derive"] if p.category != "d"] == split_prompts(SET, {"derive": 4}, seed=1)["derive"]


def test_too_few_problems_name_the_category() -> None:
    with pytest.raises(DesignError, match=r"11 problems.*'a': 10"):
        split_prompts(SET, {"derive": 11}, seed=0)


def test_the_shipped_problems_are_thirty_per_category() -> None:
    prompts = read_prompts("shipped:prompts/tiny.jsonl")
    assert len(prompts) == 300
    assert {sum(p.category == c for p in prompts) for c in {p.category for p in prompts}} == {30}


REASONING = read_prompts("shipped:prompts/reasoning.jsonl")


def test_the_problems_for_real_models_are_thirty_of_each_of_the_ten_categories() -> None:
    assert [p.id for p in REASONING] == [f"{category}_{i}" for category in categories() for i in range(30)]
    assert all(p.id.rpartition("_")[0] == p.category for p in REASONING)
    assert set(categories()) == {p.category for p in read_prompts("shipped:prompts/tiny.jsonl")}


def test_they_are_text_of_sensible_length_with_an_answer_or_none() -> None:
    lengths = [len(p.text.split()) for p in REASONING]
    assert (min(lengths), max(lengths)) == (10, 60)
    assert 30 < np.median(lengths) < 40
    assert all(p.answer is None or p.answer.strip() for p in REASONING)
    assert sum(p.answer is None for p in REASONING) == 95
    assert all(p.text == " ".join(p.text.split()) and p.text[-1] in '.?!"' for p in REASONING)


def test_no_two_of_them_are_alike_and_none_is_of_the_tiny_pair() -> None:
    texts = [p.text for p in REASONING]
    alike = [(a[:40], b[:40]) for a, b in itertools.combinations(texts, 2) if overlap(a, b) > 0.2]
    assert alike == []
    assert not {p.text for p in read_prompts("shipped:prompts/tiny.jsonl")} & set(texts)
    assert len({" ".join(text.split()[:3]) for text in texts}) > 250  # written one by one, not from a mould


def test_written_problems_are_read_back(tmp_path: Path) -> None:
    write_prompts(tmp_path / "p.jsonl", REASONING)
    assert read_prompts(str(tmp_path / "p.jsonl")) == REASONING


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text(json.dumps({"id": "a_1", "category": "a", "problem": "x"}) + "\n{broken\n")
    with pytest.raises(FormatError, match=r"p\.jsonl, line 2"):
        read_prompts(str(file))


def test_repeated_ids_are_named(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text((json.dumps({"id": "a_1", "category": "a", "problem": "x"}) + "\n") * 2)
    with pytest.raises(FormatError, match="a_1"):
        read_prompts(str(file))


def test_a_missing_file_says_what_to_give() -> None:
    with pytest.raises(ConfigError, match="shipped:NAME"):
        read_prompts("nowhere.jsonl")
