"""Which directions make this model pair backtrack? The whole study of a preset, from prompts to report.

Runs the recipes that the preset chains. A stage that is complete for the same settings and inputs is not run
again, and an interrupted one goes on where it was.

    multidir run study --preset tiny

Writes one run folder per stage; returns the last one, which holds report.html. Minutes on the tiny pair.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import PaidCompute
from multidir.recipes.preset import chosen_preset
from multidir.recipes.study import run_study


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    preset: str = "tiny"
    """Name of a shipped preset (see data/presets), or the path of a TOML file."""
    rules: str = ""
    """Rule set for what the preset leaves open: `paper`, or `paper-code` for what the paper's code does; none: the
    preset's own."""
    base: str = ""
    """Base model in place of the preset's: a folder, or a hub id."""
    reasoning: str = ""
    """Reasoning model in place of the preset's."""
    annotator: str = ""
    """Who labels the traces, in place of the preset's: `lexical` where a preset asks a judge and there is none."""
    dry_run: bool = False
    """Say what the study would take, and run nothing: cells, tokens, bytes, judge dollars, GPU time."""
    compute: PaidCompute = field(default_factory=PaidCompute)


def main(cfg: Config) -> Path:
    """Run every stage and return the run folder of the last one."""
    return run_study(chosen_preset(cfg.preset, cfg.rules, cfg.base, cfg.reasoning, cfg.annotator), cfg.compute)
