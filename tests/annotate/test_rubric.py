from __future__ import annotations

import json
import re

import pytest

from multidir.annotate.rubric import answer_schema, numbered, rubric
from multidir.annotate.taxonomy import load_taxonomy
from multidir.chat.reply import read_json
from multidir.records.taxonomy import Taxonomy

ALL = ("six", "binary", "six-approach", "binary-approach")


@pytest.mark.parametrize("name", ALL)
def test_everything_in_the_taxonomy_is_told(name: str) -> None:
    taxonomy = load_taxonomy(name)
    told = rubric(taxonomy)
    for label in taxonomy:
        assert all(text in told for text in (label.name, label.definition, label.positive, label.negative))
    assert "JSON" in told  # servers insist on the word where they are asked for JSON
    assert "{{" not in told


@pytest.mark.parametrize("name", ALL)
def test_the_worked_example_is_an_answer_as_it_is_asked_for(name: str) -> None:
    taxonomy = load_taxonomy(name)
    question, answer = rubric(taxonomy).split("EXAMPLE")[1].split("\n\n{")
    labels = {item["id"]: item["label"] for item in json.loads("{" + answer)["labels"]}
    sentences = dict(re.findall(r"^\[(\d+)\] (.*)$", question, re.M))
    assert [(sentences[str(n)], labels[n]) for n in labels] == list(taxonomy.worked)
    assert set(labels.values()) == set(taxonomy.names)


def test_without_a_worked_example_there_is_none() -> None:
    six = load_taxonomy()
    assert "EXAMPLE" not in rubric(Taxonomy("t", "1", "about", six.labels))


def test_the_schema_allows_the_labels_and_nothing_else() -> None:
    schema = answer_schema(load_taxonomy("binary"))
    item = schema["properties"]["labels"]["items"]
    assert item["properties"]["label"]["enum"] == ["backtracking", "other"]
    for part in (schema, item):  # the strict subset: all properties required, no others
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])


def test_sentences_are_numbered_one_to_a_line() -> None:
    assert numbered(["a", "b\n c"]) == "Label these sentences, 1 to 2:\n[1] a\n[2] b c"
    assert numbered(["a \ud83d b"]).endswith("[1] a ? b")
    assert numbered(["a"], ["x", "y"]).splitlines()[:4] == ["Right before:", "- x", "- y", ""]


def test_the_two_readings_of_backtracking_differ_in_nothing_else() -> None:
    for wide, narrow in (("six", "six-approach"), ("binary", "binary-approach")):
        one, two = load_taxonomy(wide), load_taxonomy(narrow)
        assert one.names == two.names
        assert one["backtracking"].definition != two["backtracking"].definition
        assert one.content_hash != two.content_hash
        assert [a for a, b in zip(one.worked, two.worked, strict=True) if a != b] == [
            ("So 180 was wrong, and I begin again with seven large crates and two small ones.", "backtracking")
        ]
    assert [a.name for a, b in zip(load_taxonomy("six"), load_taxonomy("six-approach"), strict=True) if a != b] == [
        "backtracking"
    ]


def test_an_answer_in_prose_is_the_longest_json() -> None:
    assert read_json('As [1] says: {"labels": [{"id": 1, "label": "x"}]} {}')["labels"][0]["id"] == 1
