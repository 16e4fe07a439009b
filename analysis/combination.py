"""Do the directions add or interact?

Two axes for each pair, because an on/off design alone cannot tell an interaction from a threshold: the interaction
on log-odds from a factorial, and the dose of one direction that the pair is equivalent to, from dose ladders. A
frozen rule and controls turn them into one verdict: additive, synergy, antagonism, threshold pooling,
independent causes, norm only, redundant, undetermined or invalid. Prediction: none; every one of them is possible.

    multidir run analysis/combination --prompts runs/data/prompts/... --directions runs/train/cause-directions/...
    multidir run analysis/combination --outcomes outcomes.parquet

With a model pair, doses are found on problems of their own, logit biases whose answer is known are read first, and then
the directions with all controls. With --outcomes nothing is run: the table has one row per rollout, its columns are
those of multidir/experiments/combination/outcomes_table.py. Writes tables, verdicts.json, figures. Seconds for a table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from multidir.config import Compute
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.protocol.design import Size, is_study
from multidir.experiments.settings import Scoring
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    split: str = "confirm"
    """Problems to measure on; of a table with a column `split`, the rows to read."""
    calibrate: str = "calibrate"
    """Split of the problems on which doses are found."""
    names: tuple[str, ...] = ()
    """Directions to combine; none given: those of the pairs, or the first `k`, or all of a small set."""
    k: int = 0
    """Take so many directions from the start of the set, controls left out; 0: all. Candidates come strongest first."""
    pairs: tuple[str, ...] = ()
    """Pairs to give a verdict on, as `a+b`; none given: all. Fewer pairs share the error between them."""
    standing: Literal["projection", "label", "cause", "none"] = "projection"
    """How it is told what stands in a fixed text already: verdicts are about places where no direction does, if it is.
    By the sentence before: its `projection` is above the median, it has the direction's `label`, or a true `cause`."""
    scope: str = "generated"
    """Where the residual stream is edited."""
    grid: tuple[float, ...] = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
    """Doses that calibration tries, relative to the mean residual norm."""
    words: tuple[str, ...] = ("wait", "hmm")
    """With which a sentence of the behaviour begins: what known answers push, and what `next` asks for."""
    max_new_tokens: int = 300
    """Length limit of texts, in tokens."""
    scoring: Scoring = field(default_factory=Scoring)
    """How texts are scored."""
    size: Size = field(default_factory=Size)
    """How much of the protocol is run."""
    rules: CombinationRules = field(default_factory=CombinationRules)
    """What counts as a claim."""
    draws: int = 2000
    """Bootstrap resamples of prompts."""
    shuffles: int = 100
    """Tables with shuffled cells, as a control."""
    seed: int = 0
    """Seed of texts, random vectors, resampling and shuffling."""

    @property
    def rollouts(self) -> int:
        """Texts per problem and cell."""
        return self.size.rollouts


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    prompts: Path | None = None
    """Run folder of data/prompts, with a split for calibration."""
    directions: Path | None = None
    """Run folder of the directions, with the norms that doses are relative to."""
    outcomes: Path | None = None
    """Table of outcomes, .parquet or .csv, in place of the two."""
    cosines: Path | None = None
    """How a table's directions lie to each other: .csv with first, second, cosine, or a directions.safetensors."""
    pair: Pair = TINY
    """Not looked at when there is a table."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Measure where there is no table, analyse, and return the run folder."""
    run = open_stage(cfg, "analysis/combination", skip=() if is_study(cfg) else ("pair",))
    if run.complete:
        return run.path
    from multidir.experiments.combination.run import table_results
    from multidir.experiments.protocol.study import study_results
    from multidir.experiments.results import save_results
    from multidir.report.run_figures import save_figures

    with run:
        if cfg.outcomes is None:
            results, frame = study_results(cfg, run.file)
        else:
            results, frame = table_results(cfg.outcomes, cfg.cosines, cfg.science)
        save_results(run, results)
        frame.to_parquet(run.file("outcomes.parquet"), index=False)
        save_figures(run, "analysis/combination")
    return run.path
