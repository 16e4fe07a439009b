"""What is a dictionary worth: what does it explain, what do its latents stand for, and what do predictions lose?

FVU (the unexplained share of variance, a ratio of sums), L0 and silent latents on prompts that were held out; how
often each latent fires; agreement between dictionaries and with planted features (MCC); cross-entropy and KL with the
reconstruction in the model's residual stream; for a crosscoder whose each latent is; on the tiny pair splitting and
absorption of the planted features; the texts that latents are strongest on. A published dictionary is believed when
its L0 is what it should be.

    multidir run analysis/dictionary --dictionaries runs/train/sae/... --store runs/data/activations/...

Writes dictionaries.csv, latents.csv, pairs.csv, models.csv, known.csv, examples.csv, figures, and the decoder rows of
the strongest latents as directions.safetensors. A minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair
from multidir.types import Role


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    dictionaries: str
    """Run folder of train/sae, an SAE folder, RELEASE:ID of SAELens, or OWNER/NAME:FOLDER of the hub."""
    role: Role = "reasoning"
    """Whose rows a dictionary reads that does not say so itself; and the model that predictions are compared of."""
    site: str = ""
    """Where it reads; what its metadata say when empty."""
    expected_l0: float = 0.0
    """L0 that a published dictionary should have; 0: what its metadata say."""
    rows: int = 16384
    """Rows that quality is measured on, at most."""
    texts: int = 20
    """Texts that predictions are compared on; 0 leaves the model out, and with it examples and known features."""
    shown: int = 20
    """Latents of each dictionary that get examples and become directions: the strongest ones."""
    examples: int = 5
    """Examples of each."""
    planted: str = ""
    """Known directions of the tiny pair: `shipped:tiny/base/planted.safetensors`, or a file of that form."""
    draws_seed: int = 0
    """Seed of the choice of rows and of the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    store: Path
    """Activation store, or run folder of data/activations."""
    science: Science
    pair: Pair = TINY
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Measure and return the run folder."""
    from multidir.experiments.dictionaries.train import dictionary_files, dictionary_sources

    s = cfg.science
    run = open_stage(cfg, "analysis/dictionary", dictionary_files(s.dictionaries))
    if run.complete:
        return run.path
    from multidir.experiments.dictionaries.report import report_dictionaries, strongest_directions
    from multidir.experiments.dictionaries.subjects import Settings, load_subjects
    from multidir.experiments.results import save_results
    from multidir.models.load import load_model
    from multidir.records.site import Site
    from multidir.report.run_figures import save_figures
    from multidir.store.activations import ActivationStore
    from multidir.store.directions import save_directions

    with run:
        store = ActivationStore.open(cfg.store, verify=True)
        settings = Settings(s.rows, s.texts, s.examples, s.shown, s.expected_l0 or None, s.draws_seed)
        site = Site.parse(s.site) if s.site else None
        subjects = load_subjects(dictionary_sources(s.dictionaries), store, s.role, site, settings)
        lm = load_model(cfg.pair.source(s.role), s.role, cfg.compute.device, "float32") if s.texts else None
        save_results(run, report_dictionaries(subjects, store, lm, s.planted, settings))
        if directions := strongest_directions(subjects, store, s.shown):
            save_directions(run.file("directions.safetensors"), directions)
        save_figures(run, "analysis/dictionary")
    return run.path
