"""Which problems do we ask, and which of them may see which step?

Draws problems evenly over the categories and splits them once: `derive` (traces, directions), `calibrate` (the doses
of a combination study), `search` (window, dose) and `confirm` (everything that is reported). No problem is in two
splits, so that what was chosen on one set of problems is measured on another.

    multidir run data/prompts --derive 20 --search 5 --confirm 5

Writes derive.jsonl, calibrate.jsonl, search.jsonl, confirm.jsonl. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.corpus.prompts import read_prompts, split_prompts
from multidir.recipes.stage import open_stage
from multidir.store.rows import write_rows


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    prompts: str = "shipped:prompts/tiny.jsonl"
    """A set of problems: `shipped:NAME`, or a JSON-lines file with id, category, problem and perhaps answer."""
    derive: int = 15
    """Problems per category whose traces give the directions."""
    calibrate: int = 0
    """Problems per category on which the doses of a combination study are found; they follow those to derive."""
    search: int = 5
    """Problems per category on which window and dose are chosen."""
    confirm: int = 10
    """Problems per category on which results are measured."""
    seed: int = 0
    """Which problems go where."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Split the problems and return the run folder."""
    run = open_stage(cfg, "data/prompts")
    if run.complete:
        return run.path
    science = cfg.science
    want = {name: getattr(science, name) for name in ("derive", "calibrate", "search", "confirm")}
    splits = split_prompts(read_prompts(science.prompts), {k: n for k, n in want.items() if n}, science.seed)
    with run:
        for name, prompts in splits.items():
            write_rows(run.file(f"{name}.jsonl"), prompts)
        run.note(headline=", ".join(f"{len(prompts)} problems to {name}" for name, prompts in splits.items()))
    return run.path
