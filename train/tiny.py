"""Train the tiny pair: a base model that represents two causes, and a reasoning model that backtracks on them.

Question: is a direction found in the base model enough to drive a behaviour that only the reasoning model has?
Here the answer is planted: `rule` says how likely a step is taken back, given a hesitation and a mistake in it.
Command: multidir run train/tiny (26 minutes on one core);
         multidir run train/tiny --rule additive --top-p 1 (a sibling from the same base, 9 minutes).
Writes: OUT/base (once), OUT/reasoning-RULE; prompts into PROMPTS.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Config:
    """What is trained, on how much, and where it goes."""

    rule: Literal["and", "additive", "either"] = "and"
    """The planted rule of the reasoning model."""
    documents: int = 50_000
    """Base documents (7.3 million tokens)."""
    traces: int = 20_000
    """Reasoning traces (3.5 million tokens)."""
    base_lr: float = 2e-3
    """Peak learning rate of the base model."""
    tune_lr: float = 5e-4
    """Peak learning rate of the fine-tuning; low and short, so that the base model's directions survive."""
    top_p: float = 0.99
    """Nucleus of the sampler that is written with the reasoning model. A rule that has to be followed at rare outcomes
    too, as the siblings' are, needs 1: 0.99 cuts most openers of a step that is taken back in 7 % of cases."""
    seed: int = 1
    """Decides corpus, initialisation and order."""
    threads: int = 2
    """CPU threads."""
    out: Path = Path("data/tiny")
    """Folder of the models. A base model that is already complete there is kept."""
    prompts: Path = Path("data/prompts/tiny.jsonl")
    """Where the 300 held-out problems are written."""


def main(cfg: Config) -> Path:
    """Trains what is missing and returns the folder of the reasoning model."""
    from multidir.organism import pair, problems
    from multidir.organism.rule import RULES
    from multidir.organism.training import Optimisation, use_threads
    from multidir.organism.worlds import load_worlds

    use_threads(cfg.threads)
    worlds = load_worlds()
    cfg.prompts.parent.mkdir(parents=True, exist_ok=True)
    problems.write_prompts(problems.held_out_prompts(worlds, per_category=30, seed=cfg.seed), cfg.prompts)
    base, reasoning = cfg.out / "base", cfg.out / f"reasoning-{cfg.rule}"
    if not (base / "model.safetensors").exists():
        how = Optimisation(lr=cfg.base_lr, warmup=300)
        pair.make_base(worlds, cfg.documents, pair.Size(), how, cfg.seed, base)
    how = Optimisation(lr=cfg.tune_lr, warmup=30)
    pair.make_reasoning(worlds, RULES[cfg.rule], cfg.traces, how, cfg.seed, base, reasoning, cfg.top_p)
    return reasoning
