"""What dictionaries are worth: quality on held-out rows, agreement, known features, examples, predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import normalize

from multidir import resources
from multidir.errors import FormatError
from multidir.experiments.dictionaries.subjects import Settings, Subject
from multidir.experiments.dictionaries.train import flat, side_by_side
from multidir.experiments.directions.known_causes import cause_bits
from multidir.experiments.results import Results
from multidir.models.language_model import LanguageModel
from multidir.organism.planting import CAUSES
from multidir.records.direction import DirectionSet
from multidir.sae.crosscoder import latent_scaling
from multidir.sae.dictionary import Coder, Dictionary
from multidir.sae.examples import strongest
from multidir.sae.known import find_known
from multidir.sae.latents import latent_directions
from multidir.sae.matching import match, nearest
from multidir.sae.quality import Quality, measure_quality
from multidir.sae.splice import splice
from multidir.store.activations import ActivationStore

_WORDS = 12
"""Tokens shown on either side of the token that a latent is strongest on."""


def report_dictionaries(
    subjects: list[Subject], store: ActivationStore, lm: LanguageModel | None, known: str, settings: Settings
) -> Results:
    """Measure everything that the inputs allow.

    Args:
        subjects: from `load_subjects`.
        store: the store.
        lm: the model of the rows, whole; without it no predictions, no text and no known features.
        known: safetensors file with known directions of the tiny pair by name; empty for none.
        settings: how much.

    Raises:
        ModelError: a model without its upper blocks.
        FormatError: the file of known directions cannot be read.
    """
    rng, planted = np.random.default_rng(settings.seed), _directions(known)
    qualities = [measure_quality(s.coder, side_by_side(store, s.keys, s.rows), s.unit) for s in subjects]
    lines = [_line(s, q, rng) for s, q in zip(subjects, qualities, strict=True)]
    tables = {"latents": _latents(subjects, qualities), "pairs": pd.DataFrame(list(_pairs(subjects)))}
    crossed = [_crossed(s, store) for s in subjects if len(s.keys) == 2 and isinstance(s.coder, Dictionary)]
    tables["models"] = pd.concat(crossed) if crossed else pd.DataFrame()
    if lm is not None:
        own = [s for s in subjects if s.keys == ((lm.role, s.keys[0][1]),)]
        for line, subject in zip(lines, subjects, strict=True):
            if subject in own:
                line |= _predictions(subject, store, lm, settings, rng) | _recovery(subject, planted)
        tables["examples"] = pd.DataFrame([row for s in own for row in _examples(s, store, lm, settings)])
        tables["known"] = pd.DataFrame([row for s in own for row in _known(s, store, lm, planted)])
    table = pd.DataFrame(lines)
    best = table.sort_values("fvu").iloc[0]
    headline = f"best FVU {best['fvu']:.3f} at L0 {best['l0']:.1f} ({best['name']})"
    if not tables["pairs"].empty:
        headline += f"; MCC between dictionaries {tables['pairs']['mcc'].mean():.2f} on average"
    return Results({"dictionaries": table, **{n: t for n, t in tables.items() if not t.empty}}, headline)


def strongest_latents(subject: Subject, store: ActivationStore, count: int) -> list[int]:
    """The latents with the largest summed activation on the rows that the dictionary is measured on."""
    rows = side_by_side(store, subject.keys, subject.rows[:4096])
    order = np.argsort(-measure_quality(subject.coder, rows).strength, kind="stable")
    return [int(latent) for latent in order[:count]]


def strongest_directions(subjects: list[Subject], store: ActivationStore, count: int) -> DirectionSet | None:
    """Decoder rows of the strongest latents, `<dictionary>/<latent>`; none when all dictionaries are crosscoders."""
    single = [subject for subject in subjects if len(subject.keys) == 1]
    sets = [
        latent_directions(s.coder, strongest_latents(s, store, count), s.name, s.keys[0][1], {"role": s.keys[0][0]})
        for s in single
    ]
    return DirectionSet(direction for each in sets for direction in each) if sets else None


def _line(subject: Subject, quality: Quality, rng: np.random.Generator) -> dict[str, Any]:
    numbers = flat(quality.estimates(rng))
    return {
        "name": subject.name,
        "architecture": _architecture(subject.coder),
        "model": subject.coder.facts.get("model_name"),
        "site": str(subject.keys[0][1]),
        "width": subject.coder.width,
        **numbers,
        "silent": quality.silent,
        "held_out": subject.held_out,
        "rows": quality.n,
        "clusters": len(quality.rows),
    }


def _architecture(coder: Coder) -> str:
    origin = coder.facts.get("multidir") or {}
    return str(origin.get("architecture") or getattr(coder, "activation", type(coder).__name__))


def _latents(subjects: list[Subject], qualities: list[Quality]) -> pd.DataFrame:
    """A row per latent: how often and how strongly it fires, and how near the nearest other latent is."""
    parts = []
    for subject, quality in zip(subjects, qualities, strict=True):
        directions = subject.coder.directions
        strength = np.divide(
            quality.strength, quality.fired, out=np.full(len(quality.fired), np.nan), where=quality.fired > 0
        )
        columns = {"density": quality.density, "mean_activation": strength, "crowding": _crowding(directions)}
        parts.append(pd.DataFrame({"name": subject.name, "latent": np.arange(subject.coder.width), **columns}))
    return pd.concat(parts, ignore_index=True)


def _crowding(directions: Tensor) -> np.ndarray[Any, Any]:
    """(f,) largest cosine with another decoder row of the same dictionary."""
    best = []
    for at in range(0, len(directions), 4096):
        part = normalize(directions[at : at + 4096], dim=1)
        table = part @ normalize(directions, dim=1).T
        table[torch.arange(len(part)), torch.arange(at, at + len(part))] = -1
        best.append(table.max(1).values)
    return torch.cat(best).cpu().numpy()


def _pairs(subjects: list[Subject]) -> Iterator[dict[str, Any]]:
    for a, b in combinations(subjects, 2):
        if a.coder.d == b.coder.d and max(a.coder.width, b.coder.width) <= 8192:  # the matching is cubic
            mcc = match(a.coder.directions, b.coder.directions).mcc
            found = nearest(a.coder.directions, b.coder.directions)[0]
            yield {"a": a.name, "b": b.name, "mcc": mcc, "median_nearest": float(np.median(found))}


def _crossed(subject: Subject, store: ActivationStore) -> pd.DataFrame:
    if not isinstance(subject.coder, Dictionary):
        return pd.DataFrame()
    found = latent_scaling(subject.coder, side_by_side(store, subject.keys, subject.rows))
    return found.assign(name=subject.name)


def _predictions(
    subject: Subject, store: ActivationStore, lm: LanguageModel, settings: Settings, rng: np.random.Generator
) -> dict[str, Any]:
    role, site = subject.keys[0]
    chosen = np.unique(store.trace_index[subject.rows])[: settings.texts]
    ids = store.token_ids
    limit = lm.max_positions or 1 << 30
    texts = [ids[slice(info.row_start, info.row_end)][:limit].tolist() for info in (store.traces[i] for i in chosen)]
    texts = [text for text in texts if len(text) > 1]
    if not texts:
        return {}
    mean = torch.from_numpy(store.rows(role, site, subject.rows)).mean(0)
    return flat(splice(lm, subject.coder, site, texts, mean).estimates(rng))


def _examples(
    subject: Subject, store: ActivationStore, lm: LanguageModel, settings: Settings
) -> Iterator[dict[str, Any]]:
    role, site = subject.keys[0]
    chosen = strongest_latents(subject, store, settings.shown)
    for example in strongest(subject.coder, store, role, site, chosen, settings.examples):
        rows = store.trace_rows(example.trace_id)
        ids = store.token_ids[rows].tolist()
        at = example.position
        parts = ids[max(0, at - _WORDS) : at], ids[at : at + 1], ids[at + 1 : at + 1 + _WORDS]
        before, token, after = (lm.tokenizer.decode(part) for part in parts)
        yield {"name": subject.name, **asdict(example), "before": before, "token": token, "after": after}


def _directions(known: str) -> dict[str, Tensor]:
    """Known directions by name; none without a file."""
    if not known:
        return {}
    try:
        return load_file(resources.locate(known))
    except (SafetensorError, OSError) as error:
        raise FormatError(f"{known} cannot be read as safetensors: {error}") from error


def _recovery(subject: Subject, planted: dict[str, Tensor]) -> dict[str, float]:
    """Mean absolute cosine of the known directions with a latent of their own each."""
    if not planted:
        return {}
    return {"planted_mcc": match(torch.stack(list(planted.values())), subject.coder.directions).mcc}


def _known(
    subject: Subject, store: ActivationStore, lm: LanguageModel, planted: dict[str, Tensor]
) -> Iterator[dict[str, Any]]:
    """The tiny pair's two causes: labels from its grammar, directions from the file."""
    if not planted:
        return
    causes = cause_bits(store, lm.tokenizer)[subject.rows]
    rows = side_by_side(store, subject.keys, subject.rows)
    for name, direction in planted.items():
        label = torch.from_numpy((causes >> CAUSES.index(name)) & 1 == 1)
        if label.any() and not label.all():
            found = find_known(name, subject.coder, rows, label, direction)
            facts = asdict(found)
            yield {
                "name": subject.name,
                "feature": facts.pop("name"),
                **facts,
                "latents": " ".join(map(str, found.latents)),
            }
