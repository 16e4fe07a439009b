"""Candidates that need no dictionary: differences of means, probe normals, axes of a cloud, and controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from multidir.experiments.directions.places import Places
from multidir.linalg.basis import norm_matched
from multidir.methods.control import random_directions, shuffled_directions
from multidir.methods.probe_logistic import fit_logistic
from multidir.methods.subspace import halves_agreement, independent_axes, principal_axes
from multidir.methods.window_rules import Offsets
from multidir.records.direction import Direction
from multidir.records.latent import Latent
from multidir.records.site import Site
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray, FloatArray, Role

CONTROLS = ("random", "random-cov", "shuffled")
"""Methods of directions that should do nothing."""

Find = Callable[[FloatArray, BoolArray], FloatArray]
"""From window means (w, d) and classes (w,) to unit vectors (k, d)."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A direction that may be worth steering with what is known of it."""

    direction: Direction
    readings: FloatArray
    """(w,) how strongly it is on before each sentence: a projection, or a latent's activation."""
    stability: float = np.nan
    """Cosine with what the same method finds in half of the traces, the worse of two halves; of a latent, with the
    nearest one of another seed. nan where there is nothing to compare with."""
    reason_score: float = np.nan
    attribution: float = np.nan
    """Of a latent, by its own activations; nan for directions."""
    latent: Latent | None = None
    """Where the dictionary is of the steered model."""

    @property
    def is_control(self) -> bool:
        """Whether it should do nothing."""
        return self.direction.method in CONTROLS


@dataclass(frozen=True, eq=False)
class Sought:
    """What the finders look at."""

    store: ActivationStore
    annotator: str
    label: str
    role: Role
    """The model that is steered; every direction is read in its rows."""
    site: Site
    home: Offsets
    """The window of readings, probes and axes."""
    places: Places
    x: dict[Role, FloatArray]
    """(w, d) mean rows of the home window, by model."""
    half: BoolArray
    """(t,) a random half of the traces."""

    @classmethod
    def read(
        cls, store: ActivationStore, annotator: str, label: str, role: Role, site: Site, home: Offsets, seed: int
    ) -> Sought:
        """Read the home window of every model.

        Raises:
            DesignError: no sentence with the label or none without it has a window, or rows are not finite.
        """
        places = Places.of(store, annotator, label, home)
        x = {each: places.means(store, each, site) for each in store.roles}
        half = np.random.default_rng(seed).permutation(store.n_traces) % 2 == 0
        return cls(store, annotator, label, role, site, home, places, x, half)

    def candidates(
        self, prefix: str, method: str, found: FloatArray, stability: FloatArray, facts: Mapping[str, object]
    ) -> Iterator[Candidate]:
        """Unit vectors as candidates, each in the sign that is on before the behaviour."""
        x, before = self.x[self.role], self.places.before
        gaps = found @ (x[before].mean(axis=0) - x[~before].mean(axis=0))
        for i, (unit, gap) in enumerate(zip(found, gaps, strict=True)):
            name = prefix if len(found) == 1 else f"{prefix}/{i}"
            turned = -unit if gap < 0 else unit
            source = {"label": self.label, "annotator": self.annotator, "store": self.store.content_hash, **facts}
            direction = Direction(name, turned, float(abs(gap)), self.site, method, source)
            yield Candidate(direction, x @ turned, float(stability[i]))

    def repeated(self, find: Find, x: FloatArray, places: Places) -> tuple[FloatArray, FloatArray]:
        """What a finder finds, and how well it is found again in each half of the traces."""
        units, first = find(x, places.before), self.half[places.trace]
        hits = [int((places.before & part).sum()) for part in (first, ~first)]
        rest = [int((~places.before & part).sum()) for part in (first, ~first)]
        if min(*hits, *rest) < 2:
            return units, np.full(len(units), np.nan)
        return units, halves_agreement(units, *(find(x[part], places.before[part]) for part in (first, ~first)))


def mean_candidates(sought: Sought, windows: Sequence[Offsets]) -> Iterator[Candidate]:
    """Difference of means of every model and window."""
    for role in sought.store.roles:
        for window in windows:
            places = sought.places if window == sought.home else _places(sought, window)
            x = sought.x[role] if window == sought.home else places.means(sought.store, role, sought.site)
            found, stability = sought.repeated(_mean_difference, x, places)
            facts = {"role": role, "offsets": list(window)}
            yield from sought.candidates(f"means/{role} {window[0]}..{window[1]}", "diffmeans", found, stability, facts)


def probe_candidates(sought: Sought, penalty: float) -> Iterator[Candidate]:
    """Normal of an L2 logistic probe of every model."""
    places, half = sought.places, sought.half[sought.places.trace]
    train = np.stack([np.ones_like(half), half, ~half], axis=1)
    both = (places.before[:, None] & train).any(axis=0) & (~places.before[:, None] & train).any(axis=0)
    for role in sought.store.roles:
        probes = fit_logistic(sought.x[role][None], places.before, train[:, both], np.array([penalty]))
        units = probes.unit[0, :, 0]
        stability = np.min(units[1:] @ units[0]) if both.all() else np.nan
        facts = {"role": role, "offsets": list(sought.home), "penalty": penalty}
        yield from sought.candidates(f"probe/{role}", "probe", units[:1], np.array([stability]), facts)


def axis_candidates(sought: Sought, principal: int, independent: int, seed: int) -> Iterator[Candidate]:
    """Principal axes of the rows before the behaviour about the mean of the others, and independent axes of all."""
    facts = {"role": sought.role, "offsets": list(sought.home)}

    def principals(x: FloatArray, before: BoolArray) -> FloatArray:
        return principal_axes(x[before], principal, x[~before].mean(axis=0)).units

    def independents(x: FloatArray, _: BoolArray) -> FloatArray:
        span = len(principal_axes(x, independent).units)
        return independent_axes(x, min(independent, span), seed).units

    for prefix, method, find in (("pca", "pca", principals), ("ica", "ica", independents)):
        found, stability = sought.repeated(find, sought.x[sought.role], sought.places)
        yield from sought.candidates(prefix, method, found, stability, facts)


def control_candidates(sought: Sought, count: int, seed: int) -> Iterator[Candidate]:
    """Random directions, random ones of the activations' covariance, and directions of shuffled labels."""
    if not count:
        return
    rng = np.random.default_rng(seed)
    x = sought.x[sought.role]
    like = next(mean_candidates(sought, [sought.home])).direction
    drawn = [*random_directions(count, like, rng), *random_directions(count, like, rng, x - x.mean(axis=0))]
    drawn += shuffled_directions(
        count,
        sought.store,
        sought.role,
        sought.site,
        sought.annotator,
        sought.label,
        sought.home,
        rng,
    )
    for direction in drawn:
        yield Candidate(direction, x @ direction.unit)


def _places(sought: Sought, window: Offsets) -> Places:
    return Places.of(sought.store, sought.annotator, sought.label, window)


def _mean_difference(x: FloatArray, before: BoolArray) -> FloatArray:
    return norm_matched((x[before].mean(axis=0) - x[~before].mean(axis=0))[None], 1.0)
