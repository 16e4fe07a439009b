"""Do the directions decode to "wait", or to anything about backtracking?

Multiplies every direction of a set with the unembeddings of both models, and scores the tokens that contain the
keywords: by the mean logit over them (arXiv 2507.12638, Eq. 2) or among the top 15 (the code behind its Fig. 5), with
the scores of random vectors as the null. Claim of the paper: base-derived directions do not decode to the keywords.

    multidir run analysis/logit-lens --directions runs/train/directions/... --rules paper-code

Writes scores.csv, tokens.csv (top tokens per direction), verdicts.json, a figure. Seconds; loads no blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.settings import Lens
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    label: str = "backtracking"
    """The behaviour whose directions the claim is about."""
    site: str = "L10"
    """Site of the claim."""
    lens: Lens = field(default_factory=Lens)
    """How a direction is read."""
    n_random: int = 200
    """Random vectors behind the null."""
    seed: int = 0
    """Seed of the random vectors."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    directions: Path
    """Run folder of train/directions."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Read the directions and return the run folder."""
    run = open_stage(cfg, "analysis/logit-lens")
    if run.complete:
        return run.path
    from multidir.experiments.directions.logit_lens import lens_headline, lens_tables
    from multidir.experiments.paper.claims import does_not_decode
    from multidir.experiments.results import Results, save_results
    from multidir.models.load import load_head
    from multidir.models.unembedding import unembedding
    from multidir.records.site import Site
    from multidir.report.run_figures import save_figures
    from multidir.store.directions import load_directions

    with run:
        s, c = cfg.science, cfg.compute
        directions = load_directions(cfg.directions / "directions.safetensors")
        readers = [unembedding(load_head(cfg.pair.source(role), role, c.device)) for role in cfg.pair.roles]
        scores, tokens = lens_tables(directions, readers, s.lens, s.n_random, s.seed)
        verdicts = does_not_decode(scores, s.label, str(Site.parse(s.site)), s.lens.words)
        headline = lens_headline(scores, s.label)
        save_results(run, Results({"scores": scores, "tokens": tokens}, headline, verdicts))
        save_figures(run, "analysis/logit-lens")
    return run.path
