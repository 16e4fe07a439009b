"""A page from invented but plausible tables: `python -m tests.report.demo OUT.html`, and the fixtures of these tests.

The numbers follow the shapes that the tiny pair shows: an inverted U over dose, a peak before the sentence, a base
model that never backtracks, and text that falls apart at the highest doses.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.records.verdict import Status, Verdict
from multidir.report import blocks, figures
from multidir.report.figures.store import channel_table, norm_table
from multidir.report.page import Page, Provenance, Section, write_page
from multidir.report.tables import Interval
from multidir.stats.estimate import Estimate
from multidir.store.survey import Survey
from tests.report import demo_mixtures, demo_pairs

SEED = 20250712
DOSES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
HOSTILE = "<script>document.title='run'</script><img src=x onerror=alert(1)> & \"quotes\" </p></section>"


def _rates(share: float, rng: np.random.Generator, n: int) -> tuple[float, float, float]:
    """A measured share around a true one, with a cluster-like interval."""
    seen = float(np.clip(share + rng.normal(0, 0.25 * np.sqrt(share * (1 - share) / n)), 0, 1))
    half = 2.4 * np.sqrt(max(seen * (1 - seen), 0.001) / n)
    return seen, max(0.0, seen - half), min(1.0, seen + half)


def _bump(dose: float, peak: float, at: float, width: float, floor: float) -> float:
    return floor + (peak - floor) * float(np.exp(-(((dose - at) / width) ** 2)))


def dose_cells() -> pd.DataFrame:
    """Cells of a steering sweep: two derived directions and 20 random ones, both targets."""
    rng = np.random.default_rng(SEED)
    rows = []

    def add(target: str, role: str, direction: str, dose: float, share: float, coherent: float) -> None:
        value, low, high = _rates(share, rng, 420)
        word, word_low, word_high = _rates(share * 0.16, rng, 3000)
        rows.append(
            {
                "target": target,
                "direction_role": role,
                "direction": direction,
                "dose": dose,
                "dose_unit": "relative",
                "backtrack_share": value,
                "low": low,
                "high": high,
                "keyword_share": word,
                "keyword_low": word_low,
                "keyword_high": word_high,
                "coherent_share": coherent,
                "n_prompts": 60,
            }
        )

    for target, floor in (("reasoning", 0.081), ("base", 0.0)):
        add(target, "none", "none", 0.0, floor, 0.99)
        for dose in DOSES:
            steered = target == "reasoning"
            alive = float(np.clip(1.25 - 0.42 * dose**1.6, 0.05, 0.99))
            add(target, "base", "base -6..-2", dose, _bump(dose, 0.41, 0.85, 0.5, 0.06) if steered else 0.0, alive)
            peak = _bump(dose, 0.55, 0.8, 0.55, 0.06) if steered else (0.004 if dose > 1 else 0.0)
            add(target, "reasoning", "reasoning -6..-2", dose, peak, alive)
            for index in range(20):
                push = 1 + max(0.0, rng.normal(0.1, 0.45)) * dose
                add(target, "random", f"random {index}", dose, floor * push if steered else 0.0, min(1, alive + 0.1))
    return pd.DataFrame(rows)


def grid_cells() -> pd.DataFrame:
    """Cells of an offset grid in the reasoning model."""
    rng = np.random.default_rng(SEED + 1)
    windows = [(-15, -12), (-12, -9), (-9, -6), (-6, -3), (-3, -1), (0, 2), (3, 5)]
    rows = [("reasoning", "none", np.nan, np.nan, 0.0, "relative", *_rates(0.081, rng, 420), 0.99)]
    for role, height in (("base", 0.36), ("reasoning", 0.5)):
        for lo, hi in windows:
            place = float(np.exp(-((((lo + hi) / 2 + 5) / 4.5) ** 2))) if hi < 0 else 0.02
            for dose, strength in ((0.25, 0.15), (0.5, 0.5), (1.0, 1.0), (2.0, 0.35)):
                share = 0.075 + height * place * strength
                rates = _rates(share, rng, 420)
                rows.append(("reasoning", role, lo, hi, dose, "relative", *rates, 0.95 if dose < 2 else 0.3))
    names = ["target", "direction_role", "offset_lo", "offset_hi", "dose", "dose_unit"]
    return pd.DataFrame(rows, columns=[*names, "backtrack_share", "low", "high", "coherent_share"])


def fold_table() -> pd.DataFrame:
    """Fold changes at one dose."""
    rng = np.random.default_rng(SEED + 2)
    rows = [("base", "base -6..-2", 4.6, 3.7, 5.8), ("reasoning", "reasoning -6..-2", 6.3, 5.1, 7.9)]
    for index in range(20):
        value = float(np.exp(rng.normal(0.05, 0.28)))
        rows.append(("random", f"random {index}", value, value * 0.75, value * 1.3))
    table = pd.DataFrame(rows, columns=["direction_role", "direction", "fold", "low", "high"])
    return table.assign(dose=0.75, dose_unit="relative")


def geometry_table() -> pd.DataFrame:
    """Lengths and cosines of both models' directions over offsets, one site."""
    rows = []
    for lo, hi in [(-15, -12), (-12, -9), (-9, -6), (-6, -3), (-3, -1), (0, 2), (3, 5)]:
        centre = (lo + hi) / 2
        for role in ("base", "reasoning"):
            grows = 4.0 * float(np.exp(-(((centre - 1) / 3) ** 2))) if role == "reasoning" else 0.0
            length = 1.4 + 1.6 * float(np.exp(-(((centre + 5) / 5) ** 2))) + grows
            cosine = 0.86 - 0.045 * max(0.0, centre + 6)
            row = (f"{role} {lo}..{hi}", role, "L3.resid_post", lo, hi, length, 0.93 * length, 1.08 * length)
            rows.append((*row, cosine, cosine - 0.05, cosine + 0.04))
    names = ["name", "role", "site", "offset_lo", "offset_hi", "length", "length_low", "length_high"]
    return pd.DataFrame(rows, columns=[*names, "cosine_between_roles", "cosine_low", "cosine_high"])


def cause_table() -> pd.DataFrame:
    """Measured and planted backtracking for the AND rule."""
    return pd.DataFrame(
        {
            "hesitation": [False, False, True, True],
            "mistake": [False, True, False, True],
            "rate": [0.011, 0.052, 0.038, 0.871],
            "low": [0.006, 0.034, 0.024, 0.832],
            "high": [0.018, 0.075, 0.058, 0.903],
            "planted": [0.01, 0.05, 0.05, 0.9],
        }
    )


def auroc_table() -> pd.DataFrame:
    """Separation by offset."""
    rows = []
    for lo, hi in [(-15, -12), (-12, -9), (-9, -6), (-6, -3), (-3, -1), (0, 2), (3, 5)]:
        near = float(np.exp(-((((lo + hi) / 2 + 4) / 6) ** 2)))
        rows.append(("base", lo, hi, 0.55 + 0.3 * near, 0.52 + 0.28 * near, 0.58 + 0.32 * near))
        later = 0.36 if lo >= 0 else 0.33 * near
        rows.append(("reasoning", lo, hi, 0.57 + later, 0.54 + later * 0.98, 0.60 + later * 1.02))
    return pd.DataFrame(rows, columns=["role", "offset_lo", "offset_hi", "auroc", "low", "high"])


def score_table() -> pd.DataFrame:
    """Projections of single windows."""
    rng = np.random.default_rng(SEED + 3)
    parts = []
    for role, shift in (("base", 1.5), ("reasoning", 2.1)):
        for before, n in ((False, 2400), (True, 230)):
            values = rng.normal(shift if before else 0.0, 1.1, n)
            parts.append(pd.DataFrame({"role": role, "before_backtracking": before, "projection": values}))
    return pd.concat(parts, ignore_index=True)


LABELLED = {
    ("deduction", "deduction"): 2363,
    ("deduction", "uncertainty-estimation"): 133,
    ("deduction", "backtracking"): 34,
    ("uncertainty-estimation", "deduction"): 241,
    ("uncertainty-estimation", "uncertainty-estimation"): 240,
    ("uncertainty-estimation", "backtracking"): 46,
    ("backtracking", "deduction"): 63,
    ("backtracking", "uncertainty-estimation"): 28,
    ("backtracking", "backtracking"): 123,
}
"""Sentences by what the reference and what the other annotator says."""


def confusion_table() -> pd.DataFrame:
    """Two annotators of three labels."""
    return pd.DataFrame([(*pair, n) for pair, n in LABELLED.items()], columns=["reference", "other", "count"])


def agreement_table() -> pd.DataFrame:
    """Scores of the same, with invented intervals."""
    rows = []
    for label in dict.fromkeys(reference for reference, _ in LABELLED):
        both = LABELLED[label, label]
        said = sum(n for (_, other), n in LABELLED.items() if other == label)
        true = sum(n for (reference, _), n in LABELLED.items() if reference == label)
        row: dict[str, object] = {"label": label, "n_reference": true}
        for name, share in (("precision", both / said), ("recall", both / true), ("f1", 2 * both / (said + true))):
            row |= {name: share, f"{name}_low": share - 0.04, f"{name}_high": share + 0.03}
        rows.append(row)
    return pd.DataFrame(rows)


def store_surveys() -> list[Survey]:
    """What two models' activations look like: one loud channel, one with a large mean, huge first tokens."""
    rng = np.random.default_rng(SEED + 4)
    found = []
    for role, loud in (("base", 60.0), ("reasoning", 9.0)):
        mean, rms = rng.normal(0, 0.3, 96), rng.lognormal(0.2, 0.3, 96)
        mean[7], rms[7], rms[40] = 4.0, 4.5, loud
        norms = rng.lognormal(2.5, 0.3, 4000)
        found.append(Survey(role, Site(3), norms, rng.lognormal(5.0, 0.1, 30), mean, rms))  # type: ignore[arg-type]
    return found


def norm_shares() -> pd.DataFrame:
    """Token norms in bins."""
    return norm_table(store_surveys())


def channels() -> pd.DataFrame:
    """Channels, the loudest first."""
    return channel_table(store_surveys())


def curve_table() -> pd.DataFrame:
    """Two dictionaries over training."""
    rows = np.linspace(4e3, 8e6, 30)
    parts = []
    for name, floor, dead in (("base-L10.resid_post-topk-w4096-k32-s0", 0.2, 0.04), ("base-batchtopk", 0.17, 0.0)):
        fvu = floor + 0.8 * np.exp(-rows / 1e6)
        parts.append(pd.DataFrame({"name": name, "rows": rows, "held_out_fvu": fvu, "dead": dead * rows / rows.max()}))
    return pd.concat(parts, ignore_index=True)


def dictionary_table() -> pd.DataFrame:
    """Dictionaries at several sparsities."""
    rows = [
        (f"{kind}-k{k}", kind, k, share + 1.2 / k, share + 1.0 / k, share + 1.5 / k)
        for kind, share in (("topk", 0.14), ("batchtopk", 0.12), ("jumprelu", 0.13))
        for k in (8, 16, 32, 64)
    ]
    return pd.DataFrame(rows, columns=["name", "architecture", "l0", "fvu", "fvu_low", "fvu_high"])


def latent_table() -> pd.DataFrame:
    """Firing densities of a dictionary, some latents silent."""
    density = 10 ** np.random.default_rng(5).normal(-2.3, 0.5, size=600)
    density[:9] = 0
    return pd.DataFrame({"name": "base-batchtopk", "density": density.clip(0, 1)})


def crosscoder_table() -> pd.DataFrame:
    """Latents of a crosscoder: most are shared."""
    share = np.concatenate([np.random.default_rng(6).beta(20, 20, size=500), np.ones(14), np.zeros(5)])
    kind = ["shared"] * 500 + ["reasoning"] * 10 + ["false reasoning"] * 4 + ["base"] * 5
    return pd.DataFrame({"name": "crosscoder", "reasoning_share": share, "kind": kind})


@cache
def all_plots() -> tuple[figures.Plot, ...]:
    """Every figure, from the tables above; drawn once."""
    return (
        figures.dose_curves(dose_cells()),
        figures.dose_curves(dose_cells(), measure="keyword"),
        figures.transfer_matrix(dose_cells()),
        figures.random_spread(fold_table()),
        figures.offset_grid(grid_cells()),
        figures.direction_geometry(geometry_table()),
        figures.rates_by_cause(cause_table()),
        figures.projection_separation(auroc_table()),
        figures.confusion_matrix(confusion_table()),
        figures.agreement_scores(agreement_table()),
        figures.projection_histogram(score_table()),
        figures.token_norms(norm_shares()),
        figures.channel_sizes(channels()),
        figures.joint_plane(demo_pairs.plane_table()),
        figures.pushes_by_standing(demo_pairs.strata_table()),
        figures.mixture_contest(demo_mixtures.contest_table()),
        figures.mixture_texts(demo_mixtures.texts_table()),
        figures.mixture_front(demo_mixtures.front_table()),
        figures.mixture_frontier(demo_mixtures.frontier_table()),
        figures.equivalent_doses(demo_pairs.ladder_table()),
        figures.interaction_matrix(demo_pairs.matrix_table()),
        figures.isoboles(demo_pairs.isobole_table()),
        figures.moebius_terms(demo_pairs.moebius_table()),
        figures.held_out_cells(demo_pairs.prediction_table()),
        figures.power_curves(demo_pairs.power_table()),
        figures.training_curves(curve_table()),
        figures.sparsity_frontier(dictionary_table()),
        figures.latent_density(latent_table()),
        figures.model_share(crosscoder_table()),
    )


def trace_block(text: str = "") -> blocks.TraceBlock:
    """A short labelled trace; `text` is added at its end, unlabelled."""
    written = [
        ("Let me look at what is asked. ", "initializing"),
        ("There are 3 boxes with 4 pens each. ", "adding-knowledge"),
        ("Maybe we multiply, so 3 x 4 = 13. ", "uncertainty-estimation"),
        ("Wait, that is not right. Go back to the boxes. ", "backtracking"),
        ("3 x 4 = 12.\n", "deduction"),
        ("For 2 boxes that would be 8, as it should be. ", "example-testing"),
    ]
    whole, sentences = "", []
    for index, (part, label) in enumerate(written):
        start = len(whole)
        whole += part
        sentences.append(Sentence("t1", index, start, start + len(part.rstrip()), index, index + 1, label, "grammar/1"))
    trace = Trace("t1", "math_logic_7", "math_logic", (1, 2, 3), 1, whole + text)
    return blocks.TraceBlock.of(trace, sentences, "A trace", "How many pens are in 3 boxes of 4?")


def demo_page(extra_text: str = "") -> Page:
    """A whole report; `extra_text` is put into every place where model text can stand."""
    plots = {plot.name: plot for plot in all_plots()}
    show = {name: blocks.FigureBlock(plot) for name, plot in plots.items()}
    estimates = {
        "fold change, base-derived": Estimate(4.6, 3.7, 5.8, 60, "cluster bootstrap", "times unsteered"),
        "base model at that dose": Estimate(0.0, 0.0, 0.004, 60, "Wilson", "share of sentences"),
    }
    verdicts = (
        Verdict(
            "A direction found in the base model causes backtracking in the reasoning model.",
            Status.SUPPORTED,
            "At 0.75 times the mean residual norm it multiplies backtracking by 4.6 [3.7, 5.8].",
            "The interval of the fold change excludes 2 at the best coherent dose.",
            estimates,
        ),
        Verdict(
            "The base model itself backtracks when it is steered.",
            Status.REFUTED,
            "No coherent dose reached 0.5% of its sentences.",
            "Refuted when the upper end of the interval stays under 0.5% at every coherent dose.",
        ),
        Verdict(
            "Hesitation and mistake act through one direction.",
            Status.UNDETERMINED,
            "The interval [-0.2, 1.9] of the interaction holds 0 and 1.4; 240 more prompts would decide.",
            "Supported when the interval of the interaction excludes 0.",
        ),
        Verdict(
            "Noise of equal norm does nothing.",
            Status.INVALID,
            "The coherence gate failed at the compared dose, so there is nothing to compare.",
            "Both arms must pass the coherence gate.",
        ),
    )
    sections = (
        Section(
            "Prompts and traces",
            "What the reasoning model wrote, and how its sentences were labelled.",
            (
                blocks.FactsBlock({"prompts": 200, "traces": 200, "sentences": "5,882", "backtracking": "476 (8.1%)"}),
                trace_block(extra_text),
                show["rates_by_cause"],
                show["confusion_matrix"],
                show["agreement_scores"],
            ),
        ),
        Section(
            "Directions",
            "Difference of means before backtracking sentences, by token window, in both models over the same tokens.",
            (
                show["direction_geometry"],
                show["projection_separation"],
                show["projection_histogram"],
                show["token_norms"],
                show["channel_sizes"],
            ),
        ),
        Section(
            "Steering",
            "Each direction is added at every position; 60 held-out prompts, one rollout per cell.",
            (
                show["dose_curves"],
                show["transfer_matrix"],
                show["offset_grid"],
                blocks.TextBlock("The labels come from rules, not from a judge.\n\nKeywords agree with them.", "note"),
                blocks.DetailsBlock("The same counted by keywords", (show["dose_curves_keyword"],)),
                _cell_table(),
            ),
        ),
        Section(
            "Combinations",
            "Do two directions add or interact?",
            tuple(show[name] for name in ("joint_plane", "equivalent_doses", "interaction_matrix", "isoboles"))
            + tuple(show[name] for name in ("pushes_by_standing", "moebius_terms", "held_out_cells", "power_curves"))
            + tuple(show[f"mixture_{name}"] for name in ("contest", "texts", "front", "frontier")),
        ),
        Section(
            "Dictionaries",
            "Sparse features of the residual stream, learned from the same rows.",
            (show["training_curves"], show["sparsity_frontier"], show["latent_density"], show["model_share"]),
        ),
        Section(
            "Controls",
            "What else could have made the text backtrack.",
            (
                show["random_spread"],
                blocks.TextBlock("The dose was chosen on the prompts it is reported on.", "warning"),
                blocks.CodeBlock("multidir show runs/steer\n" + extra_text, "Look at it yourself"),
            ),
        ),
    )
    provenance = Provenance(
        ("multidir run study --preset tiny", "multidir verify runs/study/2026-01-01_tiny_1a2b3c4d"),
        {"multidir": "0.1.0", "torch": "2.13.0", "transformers": "5.9.1", "numpy": "2.4.0", "python": "3.11.7"},
        {"traces": 0, "steering": 1, "bootstrap": 2},
        {"store": "9f" * 32, "directions.safetensors": "3c" * 32},
    )
    return Page(
        "multidir study, tiny pair",
        "Which directions in the residual stream make a reasoning model backtrack?",
        (
            "A direction found in the base model multiplies the reasoning model's backtracking by 4.6 [3.7, 5.8].",
            "The base model itself does not backtrack at any coherent dose.",
        ),
        sections,
        verdicts[:3],
        verdicts[3:],
        provenance,
        "Made by multidir.",
    )


def _cell_table() -> blocks.TableBlock:
    cells = dose_cells()
    shown = cells[(cells["direction_role"] != "random") & cells["dose"].isin([0, 0.5, 1.0])].copy()
    shown.loc[shown.index[3], ["backtrack_share", "low", "high"]] = np.nan
    columns = ["direction", "target", "dose", "backtrack_share", "low", "high", "coherent_share", "n_prompts"]
    return blocks.TableBlock.of(
        shown[columns],
        "Some cells of the sweep",
        {"backtracking": Interval("backtrack_share", "low", "high", percent=True)},
        percent=("coherent_share",),
    )


if __name__ == "__main__":
    write_page(demo_page(HOSTILE), Path(sys.argv[1]))
