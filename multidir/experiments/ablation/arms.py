"""What is taken out, in how many ways: the arms of an ablation study, as edits and as changes of given rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from multidir.errors import ConfigError
from multidir.experiments.ablation.settings import AblationChoice
from multidir.experiments.candidates.finders import Sought
from multidir.experiments.candidates.gradients import SCOPE
from multidir.experiments.dictionaries.subjects import Subject
from multidir.linalg.basis import orthonormal_basis, random_units
from multidir.linalg.erase import ConceptMoments, erase
from multidir.methods.inlp import inlp_directions
from multidir.methods.probe_logistic import fit_logistic
from multidir.records.direction import Direction
from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention
from multidir.records.latent import Latent
from multidir.records.scope import Gate
from multidir.records.site import Site
from multidir.sae.dictionary import Dictionary
from multidir.sae.latents import clampable
from multidir.types import FloatArray

NULLS = ("random", "matched")
"""Kinds of arms that take random directions out."""


@dataclass(frozen=True, eq=False)
class Arm:
    """One way of taking something out: an eraser, perhaps behind a gate, or latents that are switched off."""

    name: str
    kind: str
    """`project`, `mean`, `span`, `leace`, `inlp`, `gated` or `latents`; or one of `NULLS`."""
    eraser: Eraser | None = None
    gate: Gate | None = None
    coder: Dictionary | None = None
    latents: tuple[int, ...] = ()
    site: Site | None = None
    """Of the latents."""

    @property
    def gradual(self) -> bool:
        """Whether a share of it can be done."""
        return self.eraser is not None

    def edits(self, share: float = 1.0) -> tuple[Intervention, ...]:
        """As interventions on everything that the model writes."""
        if self.eraser is not None:
            return (Intervention(self.eraser, Dose(share, "share"), "erase", replace(SCOPE, gate=self.gate)),)
        assert self.coder is not None
        assert self.site is not None
        folded = clampable(self.coder)
        off = Dose(0, "activation")
        return tuple(Intervention(Latent(folded, i, self.site), off, "clamp", SCOPE) for i in self.latents)

    def change(self, x: FloatArray) -> FloatArray:
        """(n, d) what it does to rows (n, d), done in full."""
        if self.eraser is not None:
            done: FloatArray = erase(x, self.eraser.left, self.eraser.right, self.eraser.center) - x
            if self.gate is None:
                return done
            return done * (x @ self.gate.weights + self.gate.bias > self.gate.threshold)[:, None]
        assert self.coder is not None
        with torch.no_grad():
            acts = self.coder.encode(torch.from_numpy(x).float())[:, list(self.latents)]
            written: FloatArray = (acts @ self.coder.dec[list(self.latents)]).double().numpy()
        return -written


def arms_of(
    sought: Sought,
    chosen: Sequence[Direction],
    subjects: Sequence[Subject],
    mean: FloatArray,
    rows: FloatArray,
    choice: AblationChoice,
) -> list[Arm]:
    """Every arm but the random ones.

    Args:
        sought: windows before sentences; erasers that learn from labels see one half of its traces.
        chosen: the set of directions under study, strongest first.
        subjects: dictionaries, for latents among the directions.
        mean: (d,) mean row.
        rows: (n, d) rows that the model writes, for the gate's threshold.
        choice: settings.
    """
    arms = [Arm(f"project out {item.name}", "project", Eraser.project_out(item)) for item in chosen]
    arms += [Arm(f"hold {item.name} at its mean", "mean", Eraser.mean_ablate(item, mean)) for item in chosen]
    for m in range(2, len(chosen) + 1):
        arms.append(Arm(f"hold the span of the first {m}", "span", Eraser.mean_ablate(chosen[:m], mean)))
    half = sought.half[sought.places.trace]
    x, before = sought.x[sought.role][half], sought.places.before[half]
    moments = ConceptMoments.of(x, before[:, None].astype(np.float64))
    arms.append(Arm("LEACE of the label", "leace", Eraser.leace("leace", sought.site, moments)))
    ladder = inlp_directions(x, before, max(choice.inlp), choice.penalty) if choice.inlp else np.zeros((0, 0))
    for k in choice.inlp:
        eraser = Eraser(f"inlp-{k}", sought.site, ladder[:k], ladder[:k], mean, "inlp")
        arms.append(Arm(f"INLP, {k} probe{'s' * (k > 1)}", "inlp", eraser))
    arms.append(_gated(sought, chosen, mean, rows, choice))
    return [*arms, *_latent_arms(sought, chosen, subjects)]


def random_arms(arms: Sequence[Arm], mean: FloatArray, rows: FloatArray, count: int, seed: int) -> list[Arm]:
    """The two nulls, so many arms of each: what is taken out is chosen at random.

    `random` does the same to as many random directions as the strongest arm has: is the operation harmless? As random
    directions hold little, it changes little. `matched` reads what the strongest arm reads and takes it out of random
    directions instead, at each token exactly as long as that arm's edit: does equal damage do as much? A little may be
    real, whatever the directions: noise lowers a behaviour that needs two causes at once where both stand already.

    Args:
        arms: those that are compared with them; the strongest one changes the rows most.
        mean: (d,) mean row.
        rows: (n, d) rows that the model writes.
        count: arms of each kind.
        seed: of the directions.
    Raises:
        ConfigError: no arm that an eraser makes.
    """
    erasers = [arm for arm in arms if arm.eraser is not None]
    if not erasers and count:
        raise ConfigError("random ablations copy an arm that an eraser makes, and only latents are switched off")
    if not count:
        return []
    strongest = max(erasers, key=lambda arm: float(np.linalg.norm(arm.change(rows), axis=1).mean()))
    like, rng = strongest.eraser, np.random.default_rng(seed)
    assert like is not None
    axes, squares, _ = np.linalg.svd(like.left @ like.left.T)
    root = axes * np.sqrt(squares)
    found = []
    for i in range(count):
        basis = np.asarray(orthonormal_basis(random_units(len(like.left), like.d, rng)))
        same = Eraser(f"random-{i}", like.site, basis, basis, mean, "random")
        moved = Eraser(f"matched-{i}", like.site, root @ basis, like.right, like.center, "random")
        found.append(Arm(f"random {i}", "random", same, strongest.gate))
        found.append(Arm(f"random of equal norm {i}", "matched", moved, strongest.gate))
    return sorted(found, key=lambda arm: NULLS.index(arm.kind))


def _gated(
    sought: Sought, chosen: Sequence[Direction], mean: FloatArray, rows: FloatArray, choice: AblationChoice
) -> Arm:
    """The span of the set, only where a probe of the label is among its highest scores."""
    half = sought.half[sought.places.trace]
    x, before = sought.x[sought.role][half], sought.places.before[half]
    probe = fit_logistic(x[None], before, np.ones((len(x), 1), dtype=bool), np.array([choice.penalty]))
    weights, bias = probe.weight[0, 0, 0], float(probe.bias[0, 0, 0])
    threshold = float(np.quantile(rows @ weights + bias, 1 - choice.gate_share))
    name = f"hold the span, at the {choice.gate_share:.0%} of tokens that a probe picks"
    return Arm(name, "gated", Eraser.mean_ablate(chosen, mean), Gate(weights, bias, threshold))


def _latent_arms(sought: Sought, chosen: Sequence[Direction], subjects: Sequence[Subject]) -> list[Arm]:
    """For each dictionary of the steered model, its latents among the directions that `chosen` came from."""
    arms = []
    for subject in subjects:
        if subject.keys != ((sought.role, sought.site),) or not isinstance(subject.coder, Dictionary):
            continue
        mine = tuple(
            int(item.source["latent"])
            for item in chosen
            if item.method == "sae" and item.source.get("dictionary") == subject.name
        )
        if mine:
            name = f"latent{'s' * (len(mine) > 1)} {', '.join(map(str, mine))} of {subject.name} off"
            arms.append(Arm(name, "latents", coder=subject.coder, latents=mine, site=sought.site))
    return arms
