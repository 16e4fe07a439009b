"""Does backtracking need these directions, or do they only suffice?

Takes them out: projected out, held at the mean, their span, LEACE, a ladder of probes (INLP), latents switched off,
everywhere or only where a probe points. In texts already written: what the log-odds of the words lose, what else moves
(KL, edit norm), which member of the set is needed. While the model writes, where problems are given: spontaneous
backtracking and answers. Beside each, 20 random directions taken out alike, and 20 ablations of equal norm. Fresh
probes say what is still readable. Prediction: on the tiny pair, whose rule is an AND, taking either cause out lowers
backtracking, and taking random directions out does not.

    multidir run analysis/ablation --candidates runs/train/candidates/... --activations ... --prompts ...

Writes damage.csv, equal.csv, sets.csv, probes.csv, texts.csv, outcomes.jsonl, verdicts.json, figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.ablation.settings import AblationChoice
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    candidates: Path
    """Run folder of train/candidates, or another with directions.safetensors and norms.json."""
    activations: Path
    """Run folder of data/activations or data/relabel, or a store."""
    prompts: Path | None = None
    """Run folder of data/prompts; without it nothing is written, and effects are those in texts already written."""
    dictionaries: Path | None = None
    """Run folder of train/sae, or an SAE folder, if latents are among the directions."""
    pair: Pair = TINY
    science: AblationChoice = field(default_factory=AblationChoice)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Take the directions out, measure, and return the run folder."""
    run = open_stage(cfg, "analysis/ablation")
    if run.complete:
        return run.path
    from multidir.experiments.ablation.study import ablation_study
    from multidir.experiments.dictionaries.subjects import every_subject
    from multidir.experiments.directions.find import choose_annotator
    from multidir.experiments.results import save_results
    from multidir.experiments.steering.setup import load_bench, read_answers
    from multidir.models.load import load_model
    from multidir.report.run_figures import save_figures
    from multidir.store.activations import ActivationStore
    from multidir.store.directions import load_directions

    with run:
        s = cfg.science
        store = ActivationStore.open(cfg.activations, verify=True)
        role, prompts = cfg.pair.steered, cfg.prompts
        bench = load_bench(cfg.pair, role, prompts, cfg.candidates, s, cfg.compute) if prompts else None
        lm = bench.lm if bench else load_model(cfg.pair.source(role), role, cfg.compute.device, cfg.compute.dtype)
        directions = load_directions(cfg.candidates / "directions.safetensors")
        annotator, subjects = choose_annotator(store, s.store_annotator), every_subject(cfg.dictionaries, store, role)
        answers = read_answers(prompts, s.split) if prompts else {}
        file = run.file("outcomes.jsonl")
        save_results(run, ablation_study(lm, bench, store, annotator, directions, subjects, answers, s, file))
        save_figures(run, "analysis/ablation")
    return run.path
