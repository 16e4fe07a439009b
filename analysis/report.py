"""What did the study find? One page with every stage's question, answer, figures and numbers.

Reads the run folders of a study and writes one self-contained HTML file: the claims and how they came out
first, then the path from prompts to steering, then versions, seeds and hashes.

    multidir run analysis/report --directions runs/train/directions/... --separation runs/analysis/separation/...

Writes report.html. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage


@dataclass(frozen=True)
class Science:
    """What changes the page."""

    title: str = "multidir"
    """Title of the page."""
    question: str = "Which directions make this model pair backtrack, and do they add or interact?"
    """What the page answers, on its top."""
    about: str = ""
    """What the pair is, and what it is not, in a sentence or two."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe; every run folder may be left out. The page has them in this order."""

    reasoner: Path | None = None
    """Run folder of train/reasoner."""
    prompts: Path | None = None
    """Run folder of data/prompts."""
    traces: Path | None = None
    """Run folder of data/traces or data/import-traces."""
    labels: Path | None = None
    """Run folder of data/annotate or data/import-traces."""
    agreement: Path | None = None
    """Run folder of analysis/agreement."""
    causes: Path | None = None
    """Run folder of analysis/causes."""
    activations: Path | None = None
    """Run folder of data/activations."""
    directions: Path | None = None
    """Run folder of train/directions."""
    geometry: Path | None = None
    """Run folder of analysis/geometry."""
    lens: Path | None = None
    """Run folder of analysis/logit-lens."""
    separation: Path | None = None
    """Run folder of analysis/separation."""
    probes: Path | None = None
    """Run folder of train/probes."""
    density: Path | None = None
    """Run folder of analysis/density."""
    dictionaries: Path | None = None
    """Run folder of train/sae."""
    candidates: Path | None = None
    """Run folder of train/candidates."""
    offsets: Path | None = None
    """Run folder of analysis/offsets."""
    steering: Path | None = None
    """Run folder of analysis/steering."""
    baselines: Path | None = None
    """Run folder of analysis/baselines."""
    sweep: Path | None = None
    """Run folder of analysis/layers."""
    judged: Path | None = None
    """Run folder of analysis/judged."""
    ablation: Path | None = None
    """Run folder of analysis/ablation."""
    paper: Path | None = None
    """Run folder of analysis/paper."""
    combination: Path | None = None
    """Run folder of analysis/combination."""
    mixtures: Path | None = None
    """Run folder of train/mixtures."""
    suppression: Path | None = None
    """Run folder of train/mixtures that suppress."""
    frontier: Path | None = None
    """Run folder of train/mixtures of many directions."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Write the page and return the run folder."""
    run = open_stage(cfg, "analysis/report")
    if run.complete:
        return run.path
    from multidir.recipes.command import command_of
    from multidir.recipes.find import questions
    from multidir.report.page import write_page
    from multidir.report.study_page import study_page, summary

    with run:
        s = cfg.science
        given = (getattr(cfg, each.name) for each in fields(cfg))
        runs = [path for path in given if isinstance(path, Path)]
        page = study_page(s.title, s.question, s.about, list(dict.fromkeys(runs)), questions(), command_of, run.path)
        write_page(page, run.file("report.html"))
        run.note(headline=f"{summary(page)} The report: {run.file('report.html')}")
    return run.path
