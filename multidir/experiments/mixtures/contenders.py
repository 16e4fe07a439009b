"""Who meets in a contest of mixtures: what was learned, and everything simpler that it has to beat.

linear read-out                w / |w|, w the gradient of the log-odds in the span: the best of all unit vectors if
                               the log-odds were linear
linear read-out per nat        H^-1 w, H the curvature of the divergence: the best of all at equal divergence if
                               both were what they are for small pushes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from multidir.errors import DesignError
from multidir.experiments.mixtures.bank import Bank, free_bank
from multidir.experiments.mixtures.learn import Learner
from multidir.experiments.mixtures.settings import Learning
from multidir.linalg.basis import random_units
from multidir.types import FloatArray

Kind = Literal["mixture", "path", "search", "single", "simple", "linear", "random", "free"]

READOUT, PER_NAT = "linear read-out", "linear read-out per nat"
RIDGE = 1e-3
"""Of the curvature, in shares of its mean diagonal: directions that move nothing would else be pushed without end."""


@dataclass(frozen=True, eq=False)
class Contender:
    """One vector that is compared."""

    name: str
    kind: Kind
    vector: FloatArray
    """(s d,) of length 1."""
    weights: FloatArray | None = None
    """(k,) of the rows, as the vector has them; None for what is not mixed of them."""
    n_used: int = 0
    """Directions that it uses; 0 for what is not mixed of them."""

    @classmethod
    def mixed(cls, name: str, kind: Kind, bank: Bank, weights: FloatArray) -> Contender:
        """A mixture of the rows.

        Raises:
            DesignError: nothing is left.
        """
        vector = weights @ bank.rows
        length = float(np.linalg.norm(vector))
        if not length > 1e-9:
            raise DesignError(f"the contender {name!r} is no vector: its directions cancel, or it uses none")
        return cls(name, kind, vector / length, weights / length, bank.used(weights))


def learned(learner: Learner, bank: Bank, settings: Learning) -> list[Contender]:
    """The mixture, and one mixture for every number of directions that the path of prices passes, most first.

    Raises:
        DesignError: nothing does better than nothing.
    """
    whole = learner.mix(bank, settings.steps, settings.rate)
    if not whole.any():
        raise DesignError(
            f"no mixture within {settings.budget:g} nats does better than none; lower --kl-price or --rate, or raise "
            "--steps"
        )
    return [Contender.mixed("mixture", "mixture", bank, whole), *_path(learner, bank, settings)]


def _path(learner: Learner, bank: Bank, settings: Learning) -> list[Contender]:
    """From the dearest price down, each from where the last one ended; what is used is then weighed without a price."""
    dearest = learner.dearest(bank)
    start: FloatArray = np.zeros(len(bank.rows))
    found: dict[int, Contender] = {}
    for share in sorted(settings.path, reverse=True):
        start = learner.mix(bank, settings.steps // 2 + 1, settings.rate, share * dearest, start)
        used = np.isin(bank.groups, bank.groups[start != 0])
        n = bank.used(start)
        if n == len(set(bank.groups.tolist())):
            break  # a lower price uses no fewer
        if not n or n in found:
            continue
        weights = np.zeros(len(bank.rows))
        weights[used] = learner.mix(bank.only(used), settings.steps // 2 + 1, settings.rate, start=start[used])
        if weights.any():
            found[n] = Contender.mixed(f"mixture of {n}", "path", bank, weights)
    return sorted(found.values(), key=lambda each: -each.n_used)


def simpler(learner: Learner, bank: Bank, settings: Learning, seed: int) -> list[Contender]:
    """What a mixture has to beat, and the free vector that nothing in the space is far above."""
    sign, k = learner.objective.sign, len(bank.rows)
    rng = np.random.default_rng(seed)
    slope = bank.rows @ learner.readout()
    gram, h = bank.rows @ bank.rows.T, learner.curvature(bank)
    ridge = RIDGE * float(np.trace(h)) / k * np.eye(k)
    mixed: list[tuple[str, Kind, FloatArray]] = [
        *((f"single {name}", "single", sign * one) for name, one in zip(bank.names, np.eye(k), strict=True)),
        ("sum", "simple", sign * bank.lengths),
        ("mean", "simple", sign * np.ones(k)),
        ("first component", "simple", sign * _first_component(bank.rows, gram)),
        (READOUT, "linear", np.linalg.solve(gram, slope)),
        (PER_NAT, "linear", np.linalg.solve(h + ridge, slope)),
        ("random mixture", "random", rng.standard_normal(k)),
    ]
    free = learner.mix(free_bank(learner.space), settings.steps, settings.rate)
    length = float(np.linalg.norm(free))
    alone = [Contender("random vector", "random", random_units(1, learner.space.size, rng)[0])]
    alone += [Contender("free vector", "free", free / length)] if length else []
    return [*(Contender.mixed(name, kind, bank, weights) for name, kind, weights in mixed), *alone]


def _first_component(rows: FloatArray, gram: FloatArray) -> FloatArray:
    """Weights of the unit vector that all rows have most of, pointing as their mean does."""
    first = np.linalg.svd(rows, full_matrices=False)[2][0]
    weights = np.linalg.solve(gram, rows @ first)
    return np.asarray(weights if first @ rows.sum(axis=0) >= 0 else -weights)


def best_singles(contenders: Sequence[Contender], gains: FloatArray, most: int) -> list[Contender]:
    """The single directions with the largest gains (c,) where they were chosen, best first."""
    ranked = sorted(zip(contenders, gains.tolist(), strict=True), key=lambda pair: -pair[1])
    return [one for one, _ in ranked if one.kind == "single"][:most]
