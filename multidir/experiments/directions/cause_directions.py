"""Directions of the tiny pair's two causes, from the exact labels that its grammar gives every step.

    v = mean(last tokens of steps with the cause) - mean(last tokens of steps without it)

Both means are over the same kinds of sentence, so that what a step is does not enter, only what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from multidir import resources
from multidir.errors import AlignmentError, DesignError
from multidir.experiments.directions.find import chosen_sites
from multidir.experiments.results import Results
from multidir.methods.window_rules import Offsets, parse_window
from multidir.organism.annotator import GrammarAnnotator
from multidir.organism.grammar import StepFacts, parse
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.records.text import Trace
from multidir.store.activations import ActivationStore
from multidir.store.rows import read_rows
from multidir.types import BoolArray, FloatArray, IntArray, Role

CAUSES = ("hesitation", "mistake")


class CauseScience(Protocol):
    """The settings of train/cause-directions."""

    @property
    def role(self) -> Role: ...  # noqa: D102
    @property
    def site(self) -> str: ...  # noqa: D102
    @property
    def window(self) -> str: ...  # noqa: D102
    @property
    def planted(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Found:
    """Both directions, the norms that relative doses need, and how they lie to what was planted."""

    directions: DirectionSet
    mean_norms: dict[str, dict[str, float]]
    results: Results


def cause_results(store: ActivationStore, traces: Path, science: CauseScience) -> Found:
    """The two causes with their table.

    Args:
        store: activations with labels of the grammar.
        traces: run folder of data/traces.
        science: whose, where, which tokens, and what to compare with.
    """
    (site,) = chosen_sites(store, (science.site,))
    texts = {trace.id: trace.text for trace in read_rows(traces / "traces.jsonl", Trace)}
    found = DirectionSet(cause_directions(store, texts, science.role, site, parse_window(science.window)))
    truth = load_file(resources.locate(science.planted)) if science.planted else {}
    rows = [{"name": d.name, "length": d.length, "rows": d.source["rows"], "planted": _cosine(d, truth)} for d in found]
    between = f"they have cosine {found.gram()[0, 1]:.2f}"
    planted = ", ".join(f"{row['name']} {row['planted']:.2f}" for row in rows)
    words = f"; cosine with what was planted: {planted}" if truth else ""
    norms = {str(role): {str(site): store.mean_norm(role, site)} for role in store.roles}
    return Found(found, norms, Results({"directions": pd.DataFrame(rows)}, f"{' and '.join(CAUSES)}: {between}{words}"))


def _cosine(item: Direction, truth: Mapping[str, FloatArray]) -> float:
    planted = np.asarray(truth.get(item.name, np.full(item.d, np.nan)), dtype=np.float64)
    return float(item.unit @ planted / np.linalg.norm(planted))


def cause_directions(
    store: ActivationStore, texts: Mapping[str, str], role: Role, site: Site, window: Offsets
) -> list[Direction]:
    """The two causes as difference of means, hesitation first.

    Args:
        store: activations with labels of the grammar.
        texts: what was written, by id of the trace.
        role: whose activations.
        site: where.
        window: token offsets from the first token of the sentence after a step; both below 0.
    Raises:
        AlignmentError: the labels of the store are not those of these texts.
        DesignError: every step has a cause, or none has.
    """
    first, facts = step_ends(store, texts, window[0])
    rows = first[:, None] + np.arange(window[1] - window[0] + 1)
    values = store.rows(role, site, rows.ravel()).reshape(*rows.shape, store.d).mean(axis=1, dtype=np.float64)
    found = []
    for name, has in zip(CAUSES, facts.T, strict=True):
        if not 0 < has.sum() < len(has):
            raise DesignError(
                f"{int(has.sum())} of {len(has)} steps have the cause {name}, so that there is nothing to compare; "
                "store more traces"
            )
        vector = values[has].mean(axis=0) - values[~has].mean(axis=0)
        source = {"role": role, "label": name, "offsets": list(window), "store": store.content_hash}
        source |= {"annotator": GrammarAnnotator().name, "rows": int(has.sum()) * rows.shape[1]}
        found.append(Direction.from_vector(name, vector, site, "diffmeans", source))
    return found


def step_ends(store: ActivationStore, texts: Mapping[str, str], offset: int) -> tuple[IntArray, BoolArray]:
    """Rows at an offset from the sentence after each step, and which causes the step has.

    Returns:
        (n,) row in the store, and (n, 2) of hesitation and mistake. A step that ends its text is left out.
    """
    table = store.label_table(GrammarAnnotator().name)
    begin = {info.id: info.row_start for info in store.traces}
    rows, facts = [], []
    for place, name in enumerate(table.trace_ids):
        mine = table.trace == place
        starts = table.spans["token_start"][mine].tolist()
        steps = _steps(texts, name, table.spans["char_start"][mine].tolist())
        for step, start in zip(steps, starts[1:], strict=False):
            if step is not None:
                rows.append(begin[name] + start + offset)
                facts.append((step.hesitates, step.mistaken))
    return np.array(rows, dtype=np.int64), np.array(facts, dtype=bool).reshape(-1, len(CAUSES))


def _steps(texts: Mapping[str, str], name: str, starts: list[int]) -> list[StepFacts | None]:
    found = parse(texts.get(name, ""))[: len(starts)]
    if [sentence.start for sentence in found] != starts:
        raise AlignmentError(
            f"the sentences of trace {name} in the store are not those of its text; give the traces that it was made of"
        )
    return [sentence.step for sentence in found]
