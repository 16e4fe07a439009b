"""Which sparse features make up a residual stream, when there are too many tokens to store?

As train/sae, but the rows come straight from the models while they read traces: captured, mixed in a buffer, trained
on and forgotten. Whole prompts are held out; a run that was interrupted goes on to the same bits.

    multidir run train/sae-live --traces runs/data/traces/... --site L10.resid_post --model reasoning --arch batchtopk

Writes one SAELens folder per dictionary, dictionaries.csv, curve.csv, figures. As fast as the models read.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.dictionaries.settings import DictionaryChoice
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair
from multidir.records.text import Trace
from multidir.store.rows import read_rows


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    traces: Path
    """Run folder with traces.jsonl."""
    pair: Pair = TINY
    science: DictionaryChoice = field(default_factory=DictionaryChoice)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Train and return the run folder."""
    run = open_stage(cfg, "train/sae-live")
    if run.complete:
        return run.path
    from multidir.experiments.dictionaries.data import live_data
    from multidir.experiments.dictionaries.train import train_dictionaries
    from multidir.experiments.results import save_results
    from multidir.report.run_figures import save_figures
    from multidir.sae.parallel import process_device, process_group

    device = process_device(cfg.compute.device)
    with process_group(device) as group, run if group.leads else nullcontext():
        traces = read_rows(cfg.traces / "traces.jsonl", Trace)
        data = live_data(traces, cfg.pair, cfg.science, cfg.compute, device, group)
        found = train_dictionaries(data, cfg.science, run.path, device, cfg.compute.dtype, group)
        if found is not None:
            save_results(run, found)
            save_figures(run, "train/sae-live")
    return run.path
