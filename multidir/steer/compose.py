"""From what each row gets at one site to the terms that do it: like operators together, in an order that is defined."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations

import numpy as np

from multidir.errors import ConfigError
from multidir.records.intervention import Intervention
from multidir.records.scope import Scope
from multidir.steer.dose import amount
from multidir.steer.operators.base import Amount, Operator
from multidir.steer.operators.table import OPERATORS
from multidir.steer.term import Term
from multidir.types import FloatArray

Slot = tuple[int, type[Operator], object, int]
"""Order, operator, family, and which of several in one row: what is done together."""


def terms(rows: Mapping[int, Sequence[Intervention]], count: int, mean_norm: float | None = None) -> list[Term]:
    """The terms of one site.

    Args:
        rows: interventions at this site by row.
        count: rows in all.
        mean_norm: of the residual stream at the site, for relative doses.
    Raises:
        ConfigError: interventions of one row overlap, do not commute and have no order; or a dose without its unit.
    """
    slots: dict[Slot, dict[int, tuple[Scope, list[Amount]]]] = {}
    checked: set[Hashable] = set()
    for row, items in rows.items():
        if (key := tuple(map(id, items))) not in checked:
            checked.add(key)
            check_order(items)
        for item, slot in zip(items, _slots(items), strict=True):
            _, amounts = slots.setdefault(slot, {}).setdefault(row, (item.scope, []))
            amounts.append(amount(item, mean_norm))
    return [_term(slot[1], slots[slot], count) for slot in sorted(slots, key=lambda slot: slot[0])]


def _slots(items: Sequence[Intervention]) -> list[Slot]:
    """Where each intervention of a row belongs; what an operator merges within one scope belongs together."""
    seen: dict[object, list[object]] = {}
    found = []
    for item in items:
        kind = OPERATORS[item.operator]
        group = (item.order, kind, kind.family(item.subject))
        entries = seen.setdefault(group, [])
        entry = item.scope if kind.merges else object()
        if entry not in entries:
            entries.append(entry)
        found.append((*group, entries.index(entry)))
    return found


def _term(kind: type[Operator], members: Mapping[int, tuple[Scope, Sequence[Amount]]], count: int) -> Term:
    """One term of which rows with the same amounts share the setting."""
    settings: dict[Hashable, int] = {}
    made: list[Sequence[Amount]] = []
    pick, scopes = np.full(count, -1), [Scope()] * count
    for row, (scope, amounts) in members.items():
        if all(kind.null(one) for one in amounts):
            continue
        key = tuple((id(one.subject), one.value, one.unit) for one in amounts)
        if key not in settings:
            settings[key] = len(made)
            made.append(amounts)
        pick[row], scopes[row] = settings[key], scope
    return Term(kind.of(made or [next(iter(members.values()))[1]]), pick, tuple(scopes))


def check_order(items: Sequence[Intervention]) -> None:
    """Refuse interventions of one row and site whose result depends on an order that nobody gave.

    Raises:
        ConfigError: two of them overlap, and one reads what the other writes.
    """
    touches = [OPERATORS[item.operator].touch(item.subject) for item in items]
    reading = [touch.reads is None or len(touch.reads) > 0 for touch in touches]
    for one, two in combinations(range(len(items)), 2):
        a, b = items[one], items[two]
        apart = a.order != b.order or _disjoint(a.scope, b.scope) or not (reading[one] or reading[two])
        if apart or _together(a, b):
            continue
        if _meets(touches[one].reads, touches[two].writes) or _meets(touches[two].reads, touches[one].writes):
            raise ConfigError(
                f"{a} and {b} act on the same positions, and one reads what the other writes, so that the result "
                "depends on which is first; give them different `order`s (or put both directions into one eraser)"
            )


def _together(a: Intervention, b: Intervention) -> bool:
    """Whether both are one setting of one operator."""
    kind = OPERATORS[a.operator]
    same = kind is OPERATORS[b.operator] and kind.merges and a.scope == b.scope
    return same and kind.family(a.subject) == kind.family(b.subject)


def _disjoint(a: Scope, b: Scope) -> bool:
    """Whether no position can be in both."""
    apart = {a.part, b.part} == {"prompt", "decoded"}
    return apart or (a.end is not None and a.end <= b.begin) or (b.end is not None and b.end <= a.begin)


def _meets(reads: FloatArray | None, writes: FloatArray | None) -> bool:
    """Whether what is written can be seen by what is read: some cosine between the two is not zero."""
    if any(rows is not None and not len(rows) for rows in (reads, writes)):
        return False
    if reads is None or writes is None:
        return True
    cosines = _units(reads) @ _units(writes).T
    return bool((np.abs(cosines) > 1e-6).any())


def _units(rows: FloatArray) -> FloatArray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units: FloatArray = rows / np.where(norms > 0, norms, 1)
    return units
