"""Asks a model for more problems: of every category alike, none that is there already, ids continued."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from multidir import resources
from multidir.annotate.text_measures import overlap
from multidir.chat.client import Chat
from multidir.chat.forecast import Forecast, forecast
from multidir.chat.pool import in_order
from multidir.chat.reply import Reply, read_json
from multidir.chat.request import Request
from multidir.errors import DesignError
from multidir.records.text import Prompt

TOKENS_PER_PROBLEM = 400
"""Room in the answer for one problem with its solution; a long one takes 200."""
LIKELY_TOKENS_PER_PROBLEM = 90
MOST_ALIKE = 0.3
"""From this share of common word quadruples on, two problems count as the same one."""
SHORTEST, LONGEST = 5, 300
"""Words of a problem."""
_ROUNDS = 3
"""How many times the calls that are needed at least may be made, before a category is given up."""

_TASK = """\
You write problems that make people think. Each problem is complete in itself, in plain English, between 10 and 150
words long, and has not been published anywhere: no famous puzzle, no textbook exercise, nothing that differs from one
of those in names and numbers only. Vary the form (a question, a task, an argument to judge, a short dialogue), the
difficulty and the setting. Give the answer where there is a definite one, as short as possible, and null where the
task is open. Answer with JSON and nothing else:
{"problems": [{"problem": "...", "answer": "..."}, {"problem": "...", "answer": null}]}
"""

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"problem": {"type": "string"}, "answer": {"type": ["string", "null"]}},
                "required": ["problem", "answer"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["problems"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Wanted:
    """How many problems, and how they are asked for."""

    per_category: int
    per_call: int
    shown: int
    """Problems of the category that a call is shown, as examples and as what not to repeat."""
    seed: int
    """Which ones."""


@dataclass
class Found:
    """New problems of one category, and what was turned down."""

    prompts: list[Prompt] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def categories() -> dict[str, tuple[str, str]]:
    """Name and description of each category, by the prefix of its ids."""
    table = tomllib.loads(resources.path("prompts/categories.toml").read_text(encoding="utf-8"))
    return {key: (row["name"], row["about"]) for key, row in table.items()}


def cost_of_more(chat: Chat, there: Sequence[Prompt], wanted: Wanted) -> Forecast:
    """What the least number of calls will cost; later calls show other problems, but as many."""
    calls = -(-wanted.per_category // wanted.per_call)
    tokens = float(wanted.per_call * LIKELY_TOKENS_PER_PROBLEM)
    asked = [
        (_request(chat, category, _of(there, category), wanted, number), tokens)
        for category in categories()
        for number in range(calls)
    ]
    return forecast(asked, chat.cache, chat.price)


def more_prompts(chat: Chat, there: Sequence[Prompt], wanted: Wanted) -> dict[str, Found]:
    """Ask for more problems of every category.

    Args:
        chat: who writes them.
        there: problems that are there already; of all categories.
        wanted: how many.
    Returns:
        What was found, by category.
    Raises:
        DesignError: a category did not get enough problems that are new.
        JudgeError: the endpoint gives no answer, or the spend cap leaves no room.
    """
    names = list(categories())
    made = in_order(lambda category: _more_of(chat, category, there, wanted), names, chat.calls.workers)
    found = dict(zip(names, made, strict=True))
    short = [
        f"{len(new.prompts)} of {name} ({', '.join(f'{n} {reason}' for reason, n in new.refused.items() if n)})"
        for name, new in found.items()
        if len(new.prompts) < wanted.per_category
    ]
    if short:
        raise DesignError(
            f"{wanted.per_category} new problems were wanted of every category, but there are only {'; '.join(short)}; "
            "ask another model, or raise --shown so that it sees more of what is there"
        )
    return found


def _more_of(chat: Chat, category: str, there: Sequence[Prompt], wanted: Wanted) -> Found:
    """New problems of one category, one call after the other, because each is shown what the earlier ones found."""
    found, known = Found(), _of(there, category)
    first = 1 + max((int(p.id.rpartition("_")[2]) for p in known if p.id.rpartition("_")[2].isdigit()), default=-1)
    for number in range(_ROUNDS * -(-wanted.per_category // wanted.per_call)):
        if len(found.prompts) >= wanted.per_category:
            break
        pairs = _read(chat.ask(_request(chat, category, [*known, *found.prompts], wanted, number), _whole))
        found.refused["unreadable answer"] += not pairs
        for problem, answer in pairs:
            if reason := _objection(problem, [*known, *found.prompts]):
                found.refused[reason] += 1
            elif len(found.prompts) < wanted.per_category:
                found.prompts.append(Prompt(f"{category}_{first + len(found.prompts)}", category, problem, answer))
    return found


def _request(chat: Chat, category: str, known: Sequence[Prompt], wanted: Wanted, number: int) -> Request:
    name, about = categories()[category]
    rng = np.random.default_rng([wanted.seed, number, *category.encode()])
    shown = [known[i].text for i in sorted(rng.permutation(len(known))[: wanted.shown])]
    listed = "\n".join(f"- {' '.join(text.split())}" for text in shown)
    asked = f"Category: {name} ({about}).\n\nThere already, and not to be repeated:\n{listed}\n\n"
    asked += f"Write {wanted.per_call} new problems of this category."
    # Every call has a seed of its own: the same question again would get the same answer again.
    own = replace(chat.chat, model_seed=None if chat.chat.model_seed is None else chat.chat.model_seed + number)
    return Request(own, (("system", _TASK), ("user", asked)), _SCHEMA, TOKENS_PER_PROBLEM * wanted.per_call)


def _of(prompts: Sequence[Prompt], category: str) -> list[Prompt]:
    return [prompt for prompt in prompts if prompt.category == category]


def _whole(reply: Reply) -> bool:
    return bool(_read(reply))


def _read(reply: Reply) -> list[tuple[str, str | None]]:
    """Problem and answer of every item; nothing where the reply cannot be read."""
    if reply.problem is not None:
        return []
    try:
        items = [(str(item["problem"]).strip(), item.get("answer")) for item in read_json(reply.text)["problems"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    return [(problem, None if answer is None else str(answer)) for problem, answer in items]


def _objection(problem: str, known: Sequence[Prompt]) -> str | None:
    """Why a problem is not taken."""
    if not SHORTEST <= len(problem.split()) <= LONGEST:
        return "too short or too long"
    return "there already" if any(overlap(problem, other.text) >= MOST_ALIKE for other in known) else None
