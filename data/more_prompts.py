"""Can a model think of more problems like these?

Asks a model behind an API for new problems of each of the ten categories, shows it some that are there already, and
takes what is new: a problem that shares many phrases with another one is turned down and counted. Ids go on where the
given set ends. Answers are kept and a spend cap holds, as in data/annotate; look the problems over before using them.

    multidir run data/more-prompts --per-category 70 --model gpt-4o --dry-run

Writes prompts.jsonl (the given set and the new problems, for data/prompts --prompts) and new.jsonl. Minutes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from multidir.chat.request import ChatModel
from multidir.config import PaidCompute
from multidir.recipes.stage import open_stage


@dataclass(frozen=True)
class Science:
    """What changes the problems."""

    prompts: str = "shipped:prompts/reasoning.jsonl"
    """The set to add to: `shipped:NAME`, or a JSON-lines file with id, category, problem and perhaps answer."""
    per_category: int = 10
    """New problems of every category."""
    per_call: int = 5
    """Problems that one call asks for."""
    shown: int = 12
    """Problems of its category that a call is shown."""
    seed: int = 0
    """Which ones are shown."""
    chat: ChatModel = field(default_factory=lambda: ChatModel(temperature=1.0))
    """Who writes them."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    dry_run: bool = False
    """Say what the problems would cost, and stop before the first call."""
    science: Science = field(default_factory=Science)
    compute: PaidCompute = field(default_factory=PaidCompute)


def main(cfg: Config) -> Path:
    """Ask for the problems and return the run folder."""
    from multidir.chat.client import Chat
    from multidir.experiments.corpus.more_prompts import Wanted, cost_of_more, more_prompts
    from multidir.experiments.corpus.prompts import read_prompts, write_prompts

    run = open_stage(cfg, "data/more-prompts")
    if run.complete:
        return run.path
    s = cfg.science
    chat = Chat(s.chat, cfg.compute.calls, run.path.name)
    there, wanted = read_prompts(s.prompts), Wanted(s.per_category, s.per_call, s.shown, s.seed)
    logging.getLogger("multidir").info("%s: %s", s.chat.model, cost_of_more(chat, there, wanted))
    if cfg.dry_run:
        return run.path
    with run:
        found = more_prompts(chat, there, wanted)
        new = [prompt for category in found.values() for prompt in category.prompts]
        write_prompts(run.file("new.jsonl"), new)
        write_prompts(run.file("prompts.jsonl"), [*there, *new])
        refused = {name: dict(category.refused) for name, category in found.items()}
        run.note(model=s.chat.model, refused=refused, spent=str(chat.ledger))
        run.note(headline=f"{len(new)} new problems beside {len(there)}; {chat.ledger}")
    return run.path
