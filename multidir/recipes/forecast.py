"""What the stages of a preset will take, without loading a model: cells, tokens, bytes, judge dollars, GPU time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multidir.config import Compute
from multidir.errors import ConfigError, MissingExtra, ModelError
from multidir.experiments import budget
from multidir.experiments.budget import Habits, Machine, Prices, Shape
from multidir.experiments.combination.verdicts import PLANTS
from multidir.experiments.corpus.prompts import read_prompts
from multidir.experiments.protocol.design import protocol
from multidir.models.source import locate
from multidir.recipes.preset import Preset
from multidir.recipes.study import check_settings
from multidir.stats.factorial import GENERATORS, design

CATEGORIES = 10
"""Of problems, where the file of problems is not here to be counted."""

LABELS = 6
"""Of the taxonomy, where a stage takes all that there are."""

COUNTED = {"prompts", "traces", "activations", "directions"}
"""Inputs that decide how much a stage has to do; from a stage that is not estimated, nothing can be told."""

FREE = ("lexical", "keyword", "grammar", "human")
"""Annotators that cost nothing."""


@dataclass(frozen=True)
class Facts:
    """What later stages need to know of a stage."""

    prompts: dict[str, int] = field(default_factory=dict)
    """Problems by split."""
    texts: int = 0
    tokens: int = 0
    """Of one text, prompt included."""
    new: int = 0
    """Of one text, prompt left out."""
    directions: int = 0
    """Directions of the behaviour and one model."""


@dataclass(frozen=True)
class Row:
    """One stage. What a stage has nothing of is 0; what cannot be told is None."""

    stage: str
    cells: int = 0
    texts: int = 0
    read: int = 0
    """Tokens that models read."""
    written: int = 0
    """Tokens that models write."""
    disk: int = 0
    """Bytes."""
    judge: float = 0.0
    """Dollars, if a judge labels."""
    paid: bool = False
    """Whether one does: with a free annotator, nothing is spent."""
    gpu: float | None = 0.0
    """Seconds."""


@dataclass(frozen=True)
class Scene:
    """What every stage is estimated with."""

    shape: Shape | None
    roles: int
    compute: Compute
    machine: Machine = field(default_factory=Machine)
    habits: Habits = field(default_factory=Habits)
    prices: Prices = field(default_factory=Prices)

    def generation(self, texts: int, new: int) -> float | None:
        """GPU seconds of generating texts."""
        if self.shape is None:
            return None
        rows = self.compute.batch_rows
        return budget.generation_seconds(self.shape, self.machine, texts, self.habits.prompt_tokens, new, rows)

    def judging(self, texts: int, new: int) -> float:
        """Judge dollars for labelling texts."""
        return budget.judge_dollars(self.habits, self.prices, texts, new)


Estimated = tuple[Row, Facts]
Inputs = dict[str, Facts]


def forecast(preset: Preset, compute: Compute) -> list[Row]:
    """One row per stage, in order.

    Raises:
        ConfigError: a setting that a recipe does not have.
    """
    scene = Scene(shape_of(preset), len(preset.pair.roles), compute)
    known: dict[str, Facts] = {}
    rows = []
    for stage, cfg in zip(preset.stages, check_settings(preset, compute), strict=True):
        handler = HANDLERS.get(stage.recipe)
        inputs = {name: known[source] for name, source in stage.inputs.items() if source in known}
        if handler is None:
            rows.append(Row(stage.name))
        elif COUNTED & set(stage.inputs) - set(inputs):
            rows.append(Row(stage.name, gpu=None))
        else:
            row, known[stage.name] = handler(stage.name, cfg.science, inputs, scene)
            rows.append(row)
    return rows


def shape_of(preset: Preset) -> Shape | None:
    """Shape of the pair: from the model's folder where it is on this machine, else as the preset states it."""
    try:
        source = locate(preset.pair.source(preset.pair.roles[-1]))
    except (ModelError, MissingExtra):
        return preset.shape
    return Shape.read(Path(source.name)) if source.is_folder and source.gguf_file is None else preset.shape


def _prompts(name: str, s: Any, _: Inputs, __: Scene) -> Estimated:
    try:
        categories = len({prompt.category for prompt in read_prompts(s.prompts)})
    except ConfigError:
        categories = CATEGORIES
    counts = {"derive": s.derive, "calibrate": s.calibrate, "search": s.search, "confirm": s.confirm}
    facts = Facts(prompts={split: n * categories for split, n in counts.items()})
    return Row(name, texts=sum(facts.prompts.values())), facts


def _traces(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    texts, prompt = inputs["prompts"].prompts[s.split] * s.rollouts, scene.habits.prompt_tokens
    tokens = texts * (prompt + s.max_new_tokens)
    row = Row(
        name,
        texts=texts,
        read=texts * prompt,
        written=texts * s.max_new_tokens,
        disk=tokens * 2 * scene.habits.bytes_per_token,
        gpu=scene.generation(texts, s.max_new_tokens),
    )
    return row, Facts(texts=texts, tokens=prompt + s.max_new_tokens, new=s.max_new_tokens)


def _imported(name: str, s: Any, _: Inputs, scene: Scene) -> Estimated:
    texts = CATEGORIES * (s.per_category or 30)
    new = min(500, s.max_tokens)
    return Row(name, texts=texts), Facts(texts=texts, tokens=scene.habits.prompt_tokens + new, new=new)


def _annotate(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    traces = inputs["traces"]
    sentences = traces.texts * scene.habits.sentences(traces.new)
    judge, paid = scene.judging(traces.texts, traces.new), s.annotator not in FREE
    return Row(name, texts=traces.texts, disk=200 * sentences, judge=judge, paid=paid), Facts()


def _activations(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    traces = inputs["traces"]
    tokens, sites = traces.texts * traces.tokens, len(s.sites)
    read, facts = tokens * scene.roles, Facts(texts=sites, tokens=traces.tokens)
    if scene.shape is None:
        return Row(name, texts=traces.texts, read=read, gpu=None), facts
    blocks = 1 + max(int(site.lstrip("L").split(".")[0]) for site in s.sites)
    seconds = budget.capture_seconds(scene.shape, scene.machine, tokens, traces.tokens, blocks, sites)
    disk = scene.roles * budget.activation_bytes(scene.shape, tokens, sites, s.store_dtype)
    return Row(name, texts=traces.texts, read=read, disk=disk, gpu=scene.roles * seconds), facts


def _directions(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    places = (len(s.sites) or inputs["activations"].texts) * len(s.windows)
    found = places * scene.roles * (len(s.labels) or LABELS)
    disk = 0 if scene.shape is None else found * scene.shape.width * 8
    return Row(name, cells=found, disk=disk), Facts(directions=places)


def _offsets(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    return _steered(name, 1 + len(s.doses) * inputs["directions"].directions, s, inputs, scene), Facts()


def _steering(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    cells = scene.roles * (1 + scene.roles * len(s.doses)) + s.n_random
    return _steered(name, cells, s, inputs, scene), Facts()


def _ablation(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    """Arms on all problems, and random ablations of two kinds on some of them; without problems, in written texts."""
    arms = {"project": s.first, "mean": s.first, "span": s.first - 1, "inlp": len(s.inlp), "leace": 1, "gated": 1}
    if "prompts" not in inputs:
        members = 1 + 3 * s.first
        cells = 1 + sum(arms.values()) * len(s.shares) + 2 * s.n_random + members
        return _forced(name, cells, s, inputs, scene), Facts()
    cells = 1 + sum(arms.get(kind, 1) for kind in s.generated)
    problems = inputs["prompts"].prompts[s.split]
    share = min(1.0, s.null_prompts / problems) if problems else 0.0
    return _steered(name, cells + 2 * round(s.n_random * share), s, inputs, scene), Facts()


def _candidates(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    """Each is added and taken out in written texts; so many directions are left."""
    return _forced(name, 1 + 2 * (s.measured + 3 * s.controls), s, inputs, scene), Facts(directions=s.measured)


def _causes(name: str, _: Any, __: Inputs, ___: Scene) -> Estimated:
    """Reads what is there, and leaves one direction for each planted cause."""
    return Row(name), Facts(directions=2)


def _combination(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    """The protocol with its controls and known answers; at most this where fixed texts are read, not written."""
    k = min(len(s.names) or s.k or inputs["directions"].directions, max(GENERATORS))
    sets = (k + k * (k - 1) // 2) * (2 if len(s.words) >= k else 1)  # orthogonal, and made of words
    plants = len(PLANTS) * (len(protocol(2).doses) - 1)
    own = len(protocol(k, flips=True, n_random=s.size.n_random).doses)
    cells = own + sets + k * k + plants + (len(design(k)) if s.size.base_model else 0)
    texts = cells * (s.size.problems or inputs["prompts"].prompts[s.split])
    texts *= s.size.rollouts if s.size.outcome == "rollouts" else 1
    read, written = texts * scene.habits.prompt_tokens, texts * s.max_new_tokens
    return Row(name, cells, texts, read, written, gpu=scene.generation(texts, s.max_new_tokens)), Facts()


def _baselines(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    cells = 1 + (4 + len(s.labels)) * len(s.doses) + 3 * s.n_null
    return _steered(name, cells, s, inputs, scene), Facts()


def _layers(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    cells = 1 + scene.roles * inputs["directions"].directions * len(s.doses)
    return _steered(name, cells, s, inputs, scene), Facts()


def _reasoner(name: str, s: Any, inputs: Inputs, scene: Scene) -> Estimated:
    learnt = s.tuning.steps * s.tuning.drawing.rows * s.tuning.drawing.stretch
    texts = 2 * s.rollouts * round(s.held_out * inputs["traces"].texts)
    read, written = learnt + texts * scene.habits.prompt_tokens, texts * s.max_new_tokens
    seconds = scene.generation(texts, s.max_new_tokens)
    if scene.shape is None or seconds is None:
        return Row(name, texts=texts, read=read, written=written, gpu=None), Facts()
    seconds += budget.training_seconds(scene.shape, scene.machine, learnt, s.tuning.drawing.stretch)
    disk = 4 * scene.shape.weights()
    return Row(name, cells=2, texts=texts, read=read, written=written, disk=disk, gpu=seconds), Facts()


def _forced(name: str, cells: int, s: Any, inputs: Inputs, scene: Scene) -> Row:
    """Texts read under every condition, and on the way from the mean row, backwards too."""
    length = inputs["activations"].tokens
    read = (cells + 3 * (1 + s.steps)) * s.texts * length
    if scene.shape is None:
        return Row(name, cells=cells, read=read, gpu=None)
    seconds = budget.capture_seconds(scene.shape, scene.machine, read, length, scene.shape.layers, 0)
    return Row(name, cells=cells, read=read, gpu=seconds)


def _steered(name: str, cells: int, s: Any, inputs: Inputs, scene: Scene) -> Row:
    texts = cells * inputs["prompts"].prompts[s.split] * s.rollouts
    return Row(
        name,
        cells=cells,
        texts=texts,
        read=texts * scene.habits.prompt_tokens,
        written=texts * s.max_new_tokens,
        disk=texts * (500 + s.max_new_tokens * scene.habits.bytes_per_token),
        judge=scene.judging(texts, s.max_new_tokens),
        gpu=scene.generation(texts, s.max_new_tokens),
    )


HANDLERS: dict[str, Callable[[str, Any, Inputs, Scene], Estimated]] = {
    "data/prompts": _prompts,
    "data/traces": _traces,
    "data/import-traces": _imported,
    "data/annotate": _annotate,
    "data/activations": _activations,
    "train/directions": _directions,
    "train/cause-directions": _causes,
    "analysis/offsets": _offsets,
    "analysis/steering": _steering,
    "train/candidates": _candidates,
    "analysis/ablation": _ablation,
    "analysis/combination": _combination,
    "analysis/baselines": _baselines,
    "analysis/layers": _layers,
    "train/reasoner": _reasoner,
}
"""Recipe -> how it is estimated. The others read tables and stores, on a CPU, in seconds to minutes."""
