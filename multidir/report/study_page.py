"""The report of a study: one section per run, each with its question, its answer, its figures and numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from multidir.errors import ConfigError, MissingExtra, ModelError
from multidir.experiments.paper.numbers import RULE
from multidir.experiments.results import read_verdicts
from multidir.progress import each
from multidir.records.outcome import Outcome
from multidir.records.text import Sentence, Trace
from multidir.records.verdict import Verdict
from multidir.report import words
from multidir.report.blocks import (
    Block,
    DetailsBlock,
    FactsBlock,
    FigureBlock,
    ShadedBlock,
    TableBlock,
    TextBlock,
    TraceBlock,
    ViewerBlock,
)
from multidir.report.page import Page, Provenance, Section
from multidir.report.run_figures import plots_of, published_plot
from multidir.report.study_answer import ANSWERS, answer, open_section
from multidir.report.tables import Interval
from multidir.report.view import View, lead_of, view_content, viewer_html
from multidir.report.view_sources import input_folder
from multidir.store.manifest_file import read_manifest
from multidir.store.rows import read_rows

PUBLISHED_SUMMARY = "The paper's figure, drawn from its published numbers (Llama-3.1-8B and its R1 distillation)"

FIGURES_SHOWN = 3
"""Figures of a run that stand open; the others unfold."""

TABLES = {
    "pairs": "Every pair, on every scale",
    "strata": "Every pair, by what stands in the text already",
    "screen": "Pairs and triples in the sentence after fixed texts",
    "calibration": "How doses were found",
    "controls": "What each control said",
    "groups": "Interactions by model and category",
    "contest": "Mixtures and what they must beat, in written texts",
    "texts": "Mixtures and what they must beat, in whole texts",
    "front": "Effect, divergence and lost texts; `front` are those that none beats in all three",
    "weights": "Weights of the mixtures",
    "search": "What the search on whole texts tried",
    "moebius": "Log-odds of every set of directions, by index",
    "cells": "Estimates by cell",
}
"""Tables that a section unfolds when its run has them."""
TRACES = "What did the models write, token by token?"
VIEWED = View(traces=40, readings=4, pairs=20)
"""What the page shows of traces; `multidir view` shows more."""
SAMPLES = 3
"""Traces, and pairs of steered and unsteered texts, that the page shows."""


def study_page(
    title: str,
    question: str,
    about: str,
    runs: Sequence[Path],
    questions: Mapping[str, str],
    command_of: Callable[[Path], str],
    viewed: Path | None = None,
) -> Page:
    """Put the runs of a study on one page, in the order given.

    Args:
        title: of the page.
        question: that the study answers.
        about: what the pair is, and what it is not.
        runs: complete run folders.
        questions: recipe name -> the question it answers.
        command_of: run folder -> the command that makes it again.
        viewed: a run whose traces, and those of the runs behind it, are shown token by token.
    """
    manifests = {path: read_manifest(path) for path in runs}
    found = {path: read_verdicts(path) for path in runs}
    main = [v for path, own in found.items() if str(manifests[path]["recipe"]) in ANSWERS for v in own]
    more = [v for path, own in found.items() if str(manifests[path]["recipe"]) not in ANSWERS for v in own]
    sections = [Section("What this pair is", about)] if about else []
    sections += [_section(path, manifests[path], questions) for path in each(runs, "report", "section")]
    sections += [] if viewed is None else [_traces_section(viewed)]
    sections += [open_section([*main, *more])] if main or more else []
    return Page(
        title=title,
        question=question,
        answer_sentences=answer(main, list(manifests.values())),
        sections=tuple(sections),
        verdicts=tuple(main),
        more_verdicts=tuple(more),
        provenance=_provenance(manifests, command_of),
    )


def summary(page: Page) -> str:
    """The page's answer in one line."""
    return " ".join(page.answer_sentences)


def _section(path: Path, manifest: Mapping[str, Any], questions: Mapping[str, str]) -> Section:
    recipe = str(manifest["recipe"])
    headline = str(manifest["notes"].get("headline", ""))
    drawn: list[Block] = [FigureBlock(plot) for plot in plots_of(recipe, path)]
    blocks = [*drawn[:FIGURES_SHOWN]]
    if drawn[FIGURES_SHOWN:]:
        blocks.append(DetailsBlock("More figures", tuple(drawn[FIGURES_SHOWN:])))
    published = published_plot(recipe)
    if published is not None:
        blocks.append(DetailsBlock(PUBLISHED_SUMMARY, (FigureBlock(published),)))
    blocks += [TextBlock(text, "note") for text in _verdict_texts(read_verdicts(path))]
    remarks = manifest["notes"].get("remarks", ())
    blocks += [TextBlock("\n\n".join(remarks), "note")] * bool(remarks)
    blocks += _samples(path)
    for name, caption in TABLES.items():
        if (path / f"{name}.csv").is_file():
            table = pd.read_csv(path / f"{name}.csv")
            blocks.append(DetailsBlock(f"All {len(table)} {name}", (TableBlock.of(table, caption),)))
    blocks += [*_top_tokens(path), *_shaded_traces(path), *_beside_paper(path)]
    settings = json.loads((path / "config.json").read_text(encoding="utf-8")).get("science", {})
    facts = {name: _short(value) for name, value in settings.items()}
    blocks.append(DetailsBlock("Settings", (FactsBlock({"recipe": recipe, "run": path.name, **facts}),)))
    return Section(questions.get(recipe, recipe), words.sentence(headline), tuple(blocks))


def _traces_section(run: Path) -> Section:
    """Some traces token by token; a reason where they cannot be shown."""
    try:
        content = view_content(run, VIEWED)
    except (ConfigError, ModelError, MissingExtra) as error:
        return Section(TRACES, "", (TextBlock(f"The viewer is left out: {error}."),))
    lead = f"{lead_of(content)} On a page of their own, all of them: multidir view {run}"
    return Section(TRACES, lead, (ViewerBlock(viewer_html(content)),))


def _top_tokens(path: Path) -> list[Block]:
    """What directions decode to, one line per direction and unembedding."""
    if not (path / "tokens.csv").is_file():
        return []
    table = pd.read_csv(path / "tokens.csv", keep_default_na=False).sort_values("place", kind="stable")
    lines = table.groupby(["direction", "unembedding"], sort=False)["token"].agg(
        lambda texts: " ".join(map(repr, texts))
    )
    frame = lines.rename("top tokens").reset_index()
    return [DetailsBlock(f"Top tokens of {len(frame)} readings", (TableBlock.of(frame, "Largest logits first"),))]


def _shaded_traces(path: Path) -> list[Block]:
    """Traces shaded by the projection of their tokens, one per model and trace."""
    if not (path / "shaded.csv").is_file():
        return []
    table = pd.read_csv(path / "shaded.csv", keep_default_na=False, na_values={"z": [""]})  # a token may write `NA`
    shown = [
        ShadedBlock.of(some, f"Trace {trace}, projection on the {role}-derived direction")
        for (trace, role), some in table.groupby(["trace", "role"], sort=False)
    ]
    return [*shown[:1], DetailsBlock("More traces", tuple(shown[1:]))] if len(shown) > 1 else list(shown)


def _beside_paper(path: Path) -> list[Block]:
    """Our numbers beside the published ones, one line each."""
    if not (path / "beside.csv").is_file():
        return []
    table = pd.read_csv(path / "beside.csv")
    columns = ["what", "published", "value", "low", "high", "n", "status", "source"]
    here = {"here": Interval("value", "low", "high", decimals=3)}
    block = TableBlock.of(table[columns], "Published numbers and ours", here, decimals={"published": 3})
    return [*_claims(path), block, TextBlock(f"Rule: {RULE}.", "note")]


def _claims(path: Path) -> list[Block]:
    """The claims of the paper's figures and how they came out here."""
    table = pd.read_csv(path / "claims.csv")
    return [TableBlock.of(table, "What the paper's figures claim, and what of it held here")] * bool(len(table))


def _verdict_texts(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Each claim with its status; a rule that several share stands after the last of them."""
    for rule, sharing in groupby(verdicts, key=lambda verdict: verdict.rule):
        lines = [v.claim if v.label else f"{v.claim} {v.status.value.capitalize()}." for v in sharing]
        yield "\n\n".join([*lines[:-1], f"{lines[-1]} Rule: {rule}."])


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _samples(path: Path) -> list[Block]:
    """Labelled traces of a run that has them, or steered beside unsteered texts."""
    if (path / "sentences.jsonl").is_file():
        return _labelled_traces(path)
    if (path / "outcomes.jsonl").is_file():
        return _steered_texts(read_rows(path / "outcomes.jsonl", Outcome))
    return []


def _labelled_traces(path: Path) -> list[Block]:
    manifest = read_manifest(path)
    source = path if (path / "traces.jsonl").is_file() else input_folder(path, manifest, "traces")
    if source is None:
        return []
    traces = {trace.id: trace for trace in read_rows(source / "traces.jsonl", Trace)}
    by_trace: dict[str, list[Sentence]] = {}
    for sentence in read_rows(path / "sentences.jsonl", Sentence):
        by_trace.setdefault(sentence.trace_id, []).append(sentence)
    with_hits = [name for name, found in by_trace.items() if any(s.label == "backtracking" for s in found)]
    shown = [TraceBlock.of(traces[name], by_trace[name]) for name in with_hits[:SAMPLES]]
    return [*shown[:1], DetailsBlock("More traces", tuple(shown[1:]))] if len(shown) > 1 else list(shown)


def _steered_texts(outcomes: Sequence[Outcome]) -> list[Block]:
    """For prompts that have both: the unsteered text, and the one that backtracks most under equal random numbers."""
    plain = {
        (o.prompt_id, o.rollout): o
        for o in outcomes
        if o.condition.direction == "none" and o.condition.target == "reasoning"
    }
    steered = [
        o for o in outcomes if o.condition.target == "reasoning" and o.condition.dose and o.coherent and o.n_backtracks
    ]
    best = sorted(steered, key=lambda o: -(o.n_backtracks or 0))
    chosen: dict[tuple[str, int], Outcome] = {}
    for outcome in best:
        if (outcome.prompt_id, outcome.rollout) in plain:
            chosen.setdefault((outcome.prompt_id, outcome.rollout), outcome)
    blocks: list[Block] = []
    for key, outcome in list(chosen.items())[:SAMPLES]:
        facts = FactsBlock(
            {"unsteered": plain[key].text, f"{outcome.condition.direction}, {outcome.condition.dose:g}x": outcome.text}
        )
        blocks.append(DetailsBlock(f"Steered beside unsteered: {key[0]}", (facts,)))
    return blocks


def _provenance(manifests: Mapping[Path, Mapping[str, Any]], command_of: Callable[[Path], str]) -> Provenance:
    versions: dict[str, str] = {}
    seeds: dict[str, int] = {}
    for manifest in manifests.values():
        versions |= manifest["versions"]
        seeds |= {f"{manifest['recipe']} {name}": value for name, value in manifest["seeds"].items()}
    return Provenance(
        commands=tuple(map(command_of, manifests)),
        versions=versions,
        seeds=seeds,
        hashes={path.name: str(manifest["outputs_hash"]) for path, manifest in manifests.items()},
    )
