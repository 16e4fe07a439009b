"""Worlds are total, the split by hash is kept, and the shipped prompts are what the seed says."""

import dataclasses
from pathlib import Path
from random import Random

import pytest

from multidir import resources
from multidir.errors import ConfigError
from multidir.organism import corpus, problems
from multidir.organism.rule import Rule
from multidir.organism.solutions import Habits
from multidir.organism.worlds import World, load_worlds

NEVER = Rule(0, 0, 0, 0)
CATEGORIES = [
    "math_logic",
    "spatial",
    "verbal",
    "pattern",
    "lateral",
    "causal",
    "probability",
    "systems",
    "creative",
    "scientific",
]


def test_ten_worlds_that_name_neither_keyword() -> None:
    worlds = load_worlds()
    assert [w.category for w in worlds] == CATEGORIES
    words = resources.path("tiny/worlds.json").read_text(encoding="utf-8").lower()
    assert "wait" not in words
    assert "hmm" not in words
    assert all(15 <= len(w.states) * len(w.moves) <= 30 for w in worlds)


@pytest.mark.parametrize(("table", "why"), [({"a": "b", "b": "b"}, "leaves"), ({"a": "b"}, "does not map")])
def test_a_world_with_a_hole_or_a_fixed_point_is_refused(table: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        World("letters", "It is {state}.", "Which?", ("a", "b"), {"go on": table})


def test_answer_follows_the_table() -> None:
    spatial = next(w for w in load_worlds() if w.category == "spatial")
    problem = problems.Problem(spatial, "north", ("turn left", "turn around", "turn right"))
    assert problem.text == "You face north. 1 turn left. 2 turn around. 3 turn right. Which way do you face?"
    assert problem.answer == "south"


def test_the_corpus_never_holds_a_held_out_problem() -> None:
    worlds, habits = load_worlds(), Habits()
    held = {row.problem for row in problems.held_out_prompts(worlds, per_category=30, seed=1)}
    texts = [corpus.base_document(f"split {i}", worlds, corpus.Mixture(), habits).text for i in range(500)]
    assert not any(text.split("####")[1] in held for text in texts if "####" in text)
    assert all(not corpus.reasoning_trace(f"split {i}", worlds, NEVER, habits).problem.held_out for i in range(200))
    share = sum(problems.draw(worlds[0], Random(i)).held_out for i in range(2000)) / 2000
    assert 0.07 < share < 0.13


def test_the_shipped_prompts_are_those_of_seed_one(tmp_path: Path) -> None:
    rows = problems.held_out_prompts(load_worlds(), per_category=30, seed=1)
    assert problems.read_prompts(resources.path("prompts/tiny.jsonl")) == rows
    assert len({row.problem for row in rows}) == 300
    assert rows[30].id == "spatial_0"
    problems.write_prompts(rows[:3], tmp_path / "p.jsonl")
    assert problems.read_prompts(tmp_path / "p.jsonl") == rows[:3]
    assert dataclasses.asdict(rows[0]).keys() == {"id", "category", "problem", "answer"}
