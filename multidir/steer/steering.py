"""Steering whatever runs inside a `with`: for notebooks, and for `model.generate` of transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from multidir.errors import ConfigError
from multidir.models.blocks import check_site, width
from multidir.models.language_model import LanguageModel
from multidir.models.positions import track_positions
from multidir.records.intervention import Intervention
from multidir.records.site import Site
from multidir.steer.dose import to_residual_units
from multidir.steer.edit import RowEdits

Mixture = Intervention | Sequence[Intervention] | None
"""What one row gets: nothing, one intervention, or several that are added up."""


def as_tuple(mixture: Mixture) -> tuple[Intervention, ...]:
    """The interventions of a mixture, none as an empty tuple."""
    if mixture is None:
        return ()
    return (mixture,) if isinstance(mixture, Intervention) else tuple(mixture)


def row_edits(
    lm: LanguageModel,
    rows: Sequence[Mixture],
    mean_norms: Mapping[Site, float] | None = None,
    seeds: Sequence[int] | None = None,  # noqa: ARG001
) -> list[RowEdits]:
    """One `RowEdits` per site and scope that the mixtures of the rows need, ready for `generate`.

    Args:
        rows: what each row gets.
        mean_norms: mean residual norm by site, for relative doses.
        seeds: of the rows, for operators that draw.
    Raises:
        ConfigError: a site beyond the model, another width, an unknown operator or scope, or a dose without its unit.
    """
    groups: dict[tuple[Site, str], list[tuple[int, Intervention]]] = {}
    for row, mixture in enumerate(rows):
        for item in as_tuple(mixture):
            check_intervention(lm, item)
            groups.setdefault((item.direction.site, item.scope), []).append((row, item))
    made = []
    for site, scope in sorted(groups):
        members = groups[site, scope]
        units = {id(item.direction): item.direction.unit for _, item in members}
        place = {key: column for column, key in enumerate(units)}
        coefficients = np.zeros((len(rows), len(units)))
        for row, item in members:
            dose = to_residual_units(item.dose, item.direction, (mean_norms or {}).get(site))
            coefficients[row, place[id(item.direction)]] += dose
        made.append(RowEdits(site, np.stack(list(units.values())), coefficients, scope))  # type: ignore[arg-type]
    return made


def check_intervention(lm: LanguageModel, item: Intervention) -> None:
    """Refuse an intervention that this model cannot carry out.

    Raises:
        ConfigError: the reason, naming the direction.
    """
    check_site(lm.model, item.direction.site)
    if item.operator != "add":
        raise ConfigError(f"no operator {item.operator!r} for {item.direction.name!r}; there is add")
    if item.direction.d != width(lm.model):
        raise ConfigError(
            f"direction {item.direction.name!r} has width {item.direction.d}, {lm.source or 'this model'} has "
            f"{width(lm.model)}; it belongs to another model"
        )


@contextmanager
def steer(
    lm: LanguageModel,
    interventions: Mixture,
    mean_norms: Mapping[Site, float] | None = None,
    n_prompt: int | None = None,
) -> Iterator[list[RowEdits]]:
    """Steer every row of every forward pass inside the `with`; afterwards the model is as it was.

    Args:
        interventions: what is added.
        mean_norms: mean residual norm by site, for relative doses.
        n_prompt: prompt tokens, for scopes that need to know; by default the first pass of a sequence is its prompt.
    Returns:
        The edits; their `edited` counts are complete when the `with` ends.
    Raises:
        ConfigError: as `row_edits`.
    """
    edits = row_edits(lm, [interventions], mean_norms)
    with ExitStack() as stack:
        positions = stack.enter_context(track_positions(lm.model))
        for edit in edits:
            stack.enter_context(edit.attach(lm, positions, [0], None if n_prompt is None else [n_prompt]))
        yield edits
