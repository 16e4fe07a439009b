"""Training several dictionaries from one pass over the data, with a curve of held-out quality, resumable."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multidir.errors import DesignError
from multidir.progress import each
from multidir.sae.checkpoint import load_checkpoint, save_checkpoint
from multidir.sae.learner import Learner, Seen
from multidir.sae.parallel import Group
from multidir.sae.prepare import SAMPLE_ROWS, Prepared, check_channels, prepare
from multidir.sae.progress import Clock, held_out_point, point_of, tell
from multidir.sae.source import Batch, Source
from multidir.sae.spec import DictionarySpec, Training
from multidir.store.spec import Key

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One dictionary to train and the activations it reads: one set, or two for a crosscoder."""

    spec: DictionarySpec
    keys: tuple[Key, ...]

    @property
    def name(self) -> str:
        """Unique among jobs that differ; also the name of its folder."""
        roles = "-".join(dict.fromkeys(role for role, _ in self.keys))
        return f"{roles}-{self.keys[0][1]}-{self.spec.name}"


@dataclass(frozen=True)
class Pace:
    """How often things happen, in steps."""

    log: int = 50
    """A line of progress and a point of the curve."""
    save: int = 500
    """A checkpoint."""


@dataclass(eq=False)
class Run:
    """A training run: what was prepared, the learners, and the curve."""

    jobs: Sequence[Job]
    prepared: Prepared
    learners: list[Learner]
    curve: list[dict[str, Any]] = field(default_factory=list)
    waited: float = 0.0
    """Share of the time of this process's steps that was spent waiting for data."""


def train(
    jobs: Sequence[Job],
    source: Source,
    training: Training,
    held_out: Batch | None = None,
    checkpoint: Path | None = None,
    pace: Pace | None = None,
    group: Group | None = None,
    compute: torch.dtype | None = None,
) -> Run:
    """Train all jobs for the given number of steps, or go on with an earlier run from its last checkpoint.

    Args:
        jobs: what to train; all see every batch.
        source: where batches come from.
        training: how.
        held_out: (m, d) rows as stored of each set of activations, for the curve.
        checkpoint: file to keep; nothing is kept when none.
        pace: how often.
        group: processes that train together.
        compute: number format of the encoders' products; float32 when none.

    Raises:
        DesignError: two jobs of one name, unusable channels, or a loss that is no number.
        ConfigError: the checkpoint is of another config, or cannot be written.
    """
    group, pace = group or Group(), pace or Pace()
    names = [job.name for job in jobs]
    if not jobs or len(set(names)) < len(names):
        raise DesignError(f"training needs jobs that differ; got {', '.join(names) or 'none'}")
    prepared = prepare(source.sample(SAMPLE_ROWS), training)
    learners = [_learner(job, prepared, training, group, compute) for job in jobs]
    run = Run(jobs, prepared, learners)
    config = {
        "jobs": {job.name: asdict(job.spec) for job in jobs},
        "training": asdict(training),
        "data": source.identity,
        "compute": str(learners[0].compute),
    }
    first = _resume(run, checkpoint, config)
    clock = Clock(training.batch, first)
    with closing(source.batches(first)) as batches:
        for step in each(range(first + 1, training.steps + 1), "dictionaries", "step"):
            with clock.waiting():
                batch = next(batches)
            seen = _one_step(run, batch)
            if step in (1, training.steps) or step % pace.log == 0:
                run.curve += _points(run, step, seen, batch, held_out)
                tell(run.curve[-len(jobs) :], training.steps, clock.read(step), group)
            if checkpoint and group.leads and (step == training.steps or step % pace.save == 0):
                save_checkpoint(checkpoint, config, step, run.curve, _states(run))
    run.waited = clock.share
    group.wait()
    return run


def _learner(job: Job, prepared: Prepared, training: Training, group: Group, compute: torch.dtype | None) -> Learner:
    sample = torch.cat([prepared.sample[key] for key in job.keys], 1)
    centre = torch.cat([prepared.centre[key] for key in job.keys])
    return Learner(job.spec, training, sample, centre, group, compute)


def _one_step(run: Run, batch: Batch) -> list[Seen]:
    """Every learner takes the batch; jobs that read the same activations share the scaled rows."""
    for key, rows in batch.items():
        if rows.device.type == "cpu" and not torch.isfinite(rows.sum()):
            check_channels(rows, key, constant=False)
    ready: dict[tuple[Key, ...], Tensor] = {}
    for job in run.jobs:
        if job.keys not in ready:
            ready[job.keys] = run.prepared.joined(batch, job.keys)
    return [learner.step(ready[job.keys]) for job, learner in zip(run.jobs, run.learners, strict=True)]


def _points(run: Run, step: int, seen: list[Seen], batch: Batch, held_out: Batch | None) -> Iterator[dict[str, Any]]:
    """A point of the curve for every dictionary.

    Raises:
        DesignError: a loss is no number.
    """
    for job, learner, found in zip(run.jobs, run.learners, seen, strict=True):
        point = point_of(learner, found, step)
        if not math.isfinite(point["loss"]):
            for key, rows in batch.items():
                check_channels(rows, key, constant=False)
            raise DesignError(f"{job.name}: the loss at step {step} is {point['loss']}; take a smaller learning rate")
        held = {} if held_out is None else held_out_point(learner, run.prepared.joined(held_out, job.keys))
        yield {"name": job.name, **point, **held}


def _states(run: Run) -> dict[str, dict[str, Tensor]]:
    return {job.name: learner.state() for job, learner in zip(run.jobs, run.learners, strict=True)}


def _resume(run: Run, checkpoint: Path | None, config: dict[str, Any]) -> int:
    found = load_checkpoint(checkpoint, config) if checkpoint else None
    if found is None:
        return 0
    for job, learner in zip(run.jobs, run.learners, strict=True):
        learner.resume(found.states[job.name], found.step)
    run.curve = found.curve
    log.info("going on at step %d of %s", found.step, checkpoint)
    return found.step
