"""A forecast as people read it: a table of stages, its sums, and everything that it assumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from multidir.config import Compute
from multidir.experiments import budget
from multidir.recipes.forecast import FREE, Row, Scene, forecast, shape_of
from multidir.recipes.preset import Preset


def forecast_text(preset: Preset, compute: Compute) -> str:
    """The forecast as a table for people, its sums, and everything it assumes."""
    rows = forecast(preset, compute)
    scene = Scene(shape_of(preset), len(preset.pair.roles), compute)
    head = ("stage", "cells", "texts", "tokens read", "written", "disk", "judge", "GPU")
    body = [head, *map(_texts, rows), _texts(_total(rows))]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    lines = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in body]
    return "\n".join([preset.title, "", *lines, "", *_assumptions(scene)])


def _total(rows: list[Row]) -> Row:
    """The sums that mean something: a problem that is asked and labelled is not two texts."""
    known = [row.gpu for row in rows if row.gpu is not None]
    sums: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) for name in ("read", "written", "disk")}
    paid = sum(row.judge for row in rows if row.paid)
    return Row("all stages", **sums, judge=paid, paid=True, gpu=sum(known) if len(known) == len(rows) else None)


def _texts(row: Row) -> tuple[str, ...]:
    counts = [f"{n:,}" if n else "" for n in (row.cells, row.texts, row.read, row.written)]
    disk = f"{row.disk / 1e9:.1f} GB" if row.disk >= 1e8 else f"{row.disk / 1e6:.1f} MB" if row.disk else ""
    judge = (f"${row.judge:.2f}" if row.paid else f"(${row.judge:.2f})") if row.judge else ""
    gpu = "not known" if row.gpu is None else _duration(row.gpu) if row.gpu else ""
    return (row.stage, *counts, disk, judge, gpu)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "below 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _assumptions(scene: Scene) -> Iterator[str]:
    if scene.shape is not None:
        held = budget.BYTES * scene.shape.weights() / 1e9
        yield f"Weights: {held:.1f} GB per model in half precision."
    yield f"GPU time (an estimate, loading left out): {scene.machine}, {scene.compute.batch_rows} texts at a time."
    yield f"Texts: {scene.habits}."
    yield (
        f"Judge (in brackets: what it would cost where the preset asks none; {', '.join(FREE)} cost nothing): "
        f"{scene.prices}."
    )
