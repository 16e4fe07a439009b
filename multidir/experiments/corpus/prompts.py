"""Reads and writes sets of problems, and splits one once, evenly over the categories."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multidir import resources
from multidir.errors import DesignError, FormatError
from multidir.records.text import Prompt
from multidir.store.rows import write_rows


def read_prompts(source: str) -> list[Prompt]:
    """Problems from JSON lines with the keys id, category, problem, and answer where there is one.

    Args:
        source: `shipped:NAME` or a path.
    Raises:
        FormatError: a line is not such a problem (file and line named), or an id repeats.
        ConfigError: there is no such file.
    """
    file = resources.locate(source)
    prompts: list[Prompt] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row: dict[str, Any] = json.loads(line)
            prompts.append(Prompt(str(row["id"]), row["category"], row["problem"], row.get("answer")))
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{file}, line {number}: not a problem with id, category and problem ({error})"
            ) from error
    ids = [prompt.id for prompt in prompts]
    if len(set(ids)) < len(ids):
        raise FormatError(f"{file}: these ids repeat: {', '.join(sorted({i for i in ids if ids.count(i) > 1}))}")
    return prompts


def write_prompts(file: Path, prompts: Sequence[Prompt]) -> None:
    """Write problems in the form that `read_prompts` reads."""
    rows = ({"id": p.id, "category": p.category, "problem": p.text, "answer": p.answer} for p in prompts)
    write_rows(file, rows)


def split_prompts(prompts: Sequence[Prompt], per_category: Mapping[str, int], seed: int) -> dict[str, list[Prompt]]:
    """Disjoint splits with the same number of problems from every category.

    Args:
        prompts: the set to draw from.
        per_category: split name -> problems per category.
        seed: decides which problem goes where; each category is shuffled by itself, so that adding a
            category leaves the others as they were.
    Raises:
        DesignError: a category has too few problems for all splits together.
    """
    categories: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        categories[prompt.category].append(prompt)
    need = sum(per_category.values())
    short = {name: len(found) for name, found in categories.items() if len(found) < need}
    if short or not prompts:
        raise DesignError(
            f"the splits need {need} problems in every category; there are too few: {short or 'none at all'}"
        )
    splits: dict[str, list[Prompt]] = {name: [] for name in per_category}
    for category in sorted(categories):
        pool = categories[category]
        order = np.random.default_rng([seed, *category.encode()]).permutation(len(pool))
        start = 0
        for name, count in per_category.items():
            splits[name] += [pool[i] for i in order[start : start + count]]
            start += count
    return splits
