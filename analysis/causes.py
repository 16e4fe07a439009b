"""Does the tiny reasoning model backtrack by the rule that was planted in it?

Reads the two known causes (hesitation at the start of a step, a mistake in it) out of its own traces and
compares the rate of backtracking in each combination with the planted one. Only for the tiny pair, whose
language can be read exactly.

    multidir run analysis/causes --traces runs/data/traces/...

Writes rates.csv and a figure. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.text import Trace
from multidir.store.rows import read_rows


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    rule: str = "and"
    """Rule that the reasoning model was trained with."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    traces: Path
    """Run folder of data/traces."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Measure the rates and return the run folder."""
    run = open_stage(cfg, "analysis/causes")
    if run.complete:
        return run.path
    from multidir.experiments.directions.causes import causes_sentence, rates_by_cause
    from multidir.experiments.results import Results, save_results
    from multidir.report.run_figures import save_figures

    with run:
        traces = read_rows(cfg.traces / "traces.jsonl", Trace)
        rates = rates_by_cause((trace.text for trace in traces), cfg.science.rule)
        save_results(run, Results({"rates": rates}, causes_sentence(rates)))
        save_figures(run, "analysis/causes")
    return run.path
