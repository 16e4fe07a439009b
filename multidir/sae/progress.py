"""What can be seen of training while it runs: points of a curve, a line per dictionary, and who waits for whom."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from multidir.sae.learner import Learner, Seen
from multidir.sae.parallel import Group

log = logging.getLogger(__name__)


class Clock:
    """Rows per second, and the share of the time that was spent waiting for them."""

    def __init__(self, batch: int, step: int) -> None:
        self._batch, self._start, self._waited = batch, time.perf_counter(), 0.0
        self._mark, self._since = (step, self._start, 0.0), 0.0

    def waiting(self) -> Self:
        """Time in this `with` counts as waiting."""
        return self

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waited += time.perf_counter() - self._since

    @property
    def share(self) -> float:
        """Waiting share of the whole time so far."""
        return self._waited / max(1e-9, time.perf_counter() - self._start)

    def read(self, step: int) -> tuple[float, float]:
        """Rows per second and waiting share since the last reading."""
        before, then, waited = self._mark
        now = time.perf_counter()
        self._mark = (step, now, self._waited)
        taken = max(1e-9, now - then)
        return self._batch * (step - before) / taken, (self._waited - waited) / taken


def point_of(learner: Learner, seen: Seen, step: int) -> dict[str, Any]:
    """What the last step showed, as numbers."""
    return {
        "step": step,
        "rows": step * learner.training.batch,
        "loss": float(seen.loss),
        "fvu": float(seen.fvu),
        "l0": float(seen.l0),
        "dead": float(learner.dead.float().mean()),
    }


def held_out_point(learner: Learner, rows: Tensor) -> dict[str, Any]:
    """Unexplained variance and active latents on rows that nobody learns from, selected as in training.

    Args:
        learner: as it stands.
        rows: (m, d) scaled rows.
    """
    spread, error, count = (rows - rows.mean(0)).square().sum(dtype=torch.float64), 0.0, 0
    for at in range(0, len(rows), learner.training.batch):
        part = rows[at : at + learner.training.batch]
        found, active = learner.reconstruction(part)
        error += float((found - part).square().sum(dtype=torch.float64))
        count += int(torch.count_nonzero(active.values > 0))
    return {"held_out_fvu": error / float(spread), "held_out_l0": count / len(rows)}


def tell(points: Sequence[Mapping[str, Any]], steps: int, pace: tuple[float, float], group: Group) -> None:
    """One line per dictionary, from the leading process."""
    speed, waited = pace
    for point in points if group.leads else ():
        what = f"step {point['step']} of {steps}  {point['name']}"
        held = f", held out {point['held_out_fvu']:.4f}" if "held_out_fvu" in point else ""
        log.info(
            f"{what}: loss {point['loss']:.4g}, FVU {point['fvu']:.4f}{held}, "
            f"L0 {point['l0']:.1f}, dead {point['dead']:.1%}  ({speed:,.0f} tokens/s, {waited:.1%} waiting)"
        )
