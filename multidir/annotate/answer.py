"""Reading a judge's answer: the same checks whichever way the JSON was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from multidir.chat.reply import Reply, read_json
from multidir.records.taxonomy import Taxonomy


@dataclass(frozen=True)
class Answer:
    """Labels by sentence number, and what is wrong with the answer, if anything is."""

    labels: dict[int, str]
    problem: str | None
    """`truncated`, `refused`, `malformed`, `wrong ids`, `missing ids`, `unknown label`; None when it is whole."""


def read_answer(reply: Reply, n: int, taxonomy: Taxonomy) -> Answer:
    """The labels that an answer gives to sentences 1 to n.

    A label that the taxonomy does not have, or a sentence that was left out, leaves that sentence unlabelled. A number
    that was not asked, or one with two labels, shows that the judge has lost count: then nothing is taken.
    """
    if reply.problem is not None:
        return Answer({}, reply.problem)
    try:
        pairs = [_pair(item) for item in _items(read_json(reply.text))]
    except (ValueError, TypeError, KeyError):
        return Answer({}, "malformed")
    given: dict[int, str] = {}
    for number, label in pairs:
        if not 1 <= number <= n or given.get(number, label) != label:
            return Answer({}, "wrong ids")
        given[number] = label
    known = {number: label for number, label in given.items() if label in taxonomy}
    problem = "unknown label" if len(known) < len(given) else "missing ids" if len(given) < n else None
    return Answer(known, problem)


def _items(value: Any) -> list[Any]:
    """The list in an answer that is an object with `labels`, or that list itself."""
    found = value["labels"] if isinstance(value, dict) else value
    if not isinstance(found, list):
        raise TypeError("no list of labels")
    return found


def _pair(item: dict[str, Any]) -> tuple[int, str]:
    """Number and label; servers without schemas write numbers as text and names with spaces."""
    if isinstance(item["id"], bool) or not isinstance(item["label"], str):
        raise TypeError("an id or label of the wrong type")
    return int(item["id"]), "-".join(item["label"].lower().replace("_", " ").split())
