"""Runs a steering design: every (prompt, condition) a row of one running batch, outcomes on disk as they finish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from multidir.errors import DesignError
from multidir.experiments.score import Scorer
from multidir.models.align import decode_text
from multidir.models.language_model import LanguageModel
from multidir.models.logprobs import mean_logprobs
from multidir.models.sampling import Sampling
from multidir.models.thinking import thinking_text
from multidir.progress import progress
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention
from multidir.records.outcome import Condition, Outcome
from multidir.records.site import Site
from multidir.records.stopping import LoopRule
from multidir.steer.steering import Mixture
from multidir.steer.sweep import Swept, sweep
from multidir.store.rows import append_rows, read_rows, repair_tail

T = TypeVar("T")
FLUSH = 64
"""Outcomes scored and written together: what an interruption can cost at most."""


@dataclass(frozen=True)
class Arm:
    """A direction and the doses at which it is tried on one target model."""

    direction: Direction
    doses: tuple[float, ...]
    unit: str = "relative"


@dataclass(frozen=True)
class Bench:
    """Everything one target model is tested with; the same for all its conditions."""

    lm: LanguageModel
    prompts: Sequence[tuple[str, Sequence[int]]]
    """Prompt id and rendered token ids; the base model's with its unknown special tokens replaced."""
    mean_norms: Mapping[Site, float]
    """Mean residual norm by site: what a relative dose is relative to."""
    scorer: Scorer
    sampling: Sampling
    rollouts: int
    seed: int
    batch_rows: int
    """Most rows at a time."""
    loops: LoopRule
    """When a text is cut off because it repeats itself."""


def conditions(target: str, arms: Iterable[Arm]) -> dict[Condition, Intervention | None]:
    """The unsteered cell, then one cell for every direction and dose.

    Raises:
        DesignError: two arms make the same cell.
    """
    cells: dict[Condition, Intervention | None] = {Condition(target, "none", 0.0): None}
    for arm in arms:
        for dose in arm.doses:
            cell = Condition(target, arm.direction.name, dose, arm.unit)
            if cell in cells:
                raise DesignError(f"the cell {cell.key} is in the design twice")
            cells[cell] = Intervention(arm.direction, Dose(dose, arm.unit))  # type: ignore[arg-type]
    return cells


def run_conditions(bench: Bench, cells: Mapping[Condition, Mixture], file: Path) -> list[Outcome]:
    """Generate and score what is not yet in `file`, and return all outcomes of these cells from it.

    Raises:
        FormatError: `file` is broken in another place than its torn end.
    """
    repair_tail(file)
    done = [o for o in read_rows(file, Outcome) if o.condition in cells] if file.exists() else []
    by_key = {cell.key: cell for cell in cells}
    stream = sweep(
        bench.lm,
        bench.prompts,
        [(cell.key, edit) for cell, edit in cells.items()],
        rollouts=bench.rollouts,
        sampling=bench.sampling,
        rows_per_batch=bench.batch_rows,
        seed=bench.seed,
        mean_norms=bench.mean_norms,
        skip={(o.condition.key, o.prompt_id, o.rollout) for o in done},
        loops=bench.loops,
    )
    total = len(cells) * len(bench.prompts) * bench.rollouts
    label = f"{bench.lm.role} model, {len(cells)} conditions"
    with progress(total, label, "text", len(done)) as bar:
        for chunk in _chunks(stream, FLUSH):
            scored = [_scored(bench, by_key[s.key], s, logprob) for s, logprob in _with_logprobs(bench, chunk)]
            append_rows(file, scored)
            done += scored
            bar.update(len(scored))
    return done


def _with_logprobs(bench: Bench, chunk: Sequence[Swept]) -> Iterator[tuple[Swept, float | None]]:
    return zip(chunk, mean_logprobs(bench.lm, [swept.generation for swept in chunk]), strict=True)


def _scored(bench: Bench, condition: Condition, swept: Swept, logprob: float | None) -> Outcome:
    made = swept.generation
    return bench.scorer.outcome(
        condition=condition,
        prompt_id=swept.prompt_id,
        rollout=swept.rollout,
        seed=swept.seed,
        text=thinking_text(bench.lm.tokenizer, made.token_ids[made.n_prompt :]),
        n_new_tokens=len(made.token_ids) - made.n_prompt,
        finished=made.finished,
        logprob=logprob,
        positions_edited=swept.positions_edited,
        stopped=made.stopped,
        kl=made.first_kl,
        edit_norm=swept.edit_norm,
        prompt=decode_text(bench.lm.tokenizer, made.token_ids[: made.n_prompt]),
    )


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(islice(items, size)):
        yield chunk
