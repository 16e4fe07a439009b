"""Random interventions and scopes, for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention, Noise
from multidir.records.latent import Latent
from multidir.records.scope import PARTS, Gate, Scope
from multidir.records.site import Site
from tests.steer.arms import JUMP, RELU, TOPK, direction

FACTOR = np.random.default_rng(9).normal(size=(5, 32))
MEAN = np.random.default_rng(8).normal(size=32)
doses = st.sampled_from([-2.0, 0.0, 0.5, 3.0])
few = st.integers(0, 3)


@st.composite
def interventions(draw: st.DrawFn, site: Site = Site(1), scope: Scope | str = "all") -> Intervention:  # noqa: B008
    """Any operator with any subject at a site."""
    operator = draw(st.sampled_from(["add", "replace", "erase", "clamp", "amplify", "noise"]))
    dose, seed = draw(doses), draw(few)
    if operator in ("add", "replace"):
        unit = draw(st.sampled_from(["residual", "activation"]))
        return Intervention(direction(seed, site), Dose(dose, unit), operator, scope)
    if operator == "erase":
        several = [direction(seed + i, site) for i in range(draw(st.integers(1, 3)))]
        eraser = Eraser.project_out(several) if draw(st.booleans()) else Eraser.mean_ablate(several, MEAN)
        return Intervention(eraser, Dose(draw(st.sampled_from([0.0, 0.5, 1.0])), "share"), operator, scope)
    if operator == "clamp":
        latent = Latent(draw(st.sampled_from([RELU, JUMP, TOPK])), seed, site)
        return Intervention(latent, Dose(dose, "activation"), operator, scope)
    if operator == "amplify":
        return Intervention(site, Dose(dose, draw(st.sampled_from(["residual", "activation"]))), operator, scope)
    noise = Noise(site, draw(st.booleans()), FACTOR if draw(st.booleans()) else None)
    return Intervention(noise, Dose(dose, "residual"), operator, scope)


@st.composite
def scopes(draw: st.DrawFn, site: Site = Site(1), tokens: tuple[int, ...] = (5, 6, 7)) -> Scope:  # noqa: B008
    """Any scope that selects something after any prompt of three to nine tokens, in a sequence of thirteen."""
    part = draw(st.sampled_from(PARTS))
    begin, end = draw(st.sampled_from([(0, None), (1, None), (0, 12), (2, 11)]))
    how = draw(st.sampled_from(["", "", "token", "text", "start", "end"]))
    gate = draw(st.sampled_from([None, None, site, Site(0)]))
    return Scope(
        part,
        begin,
        end,
        from_token=draw(st.sampled_from(tokens)) if how == "token" else None,
        from_text=draw(st.sampled_from(["Wait", ". ", "no"])) if how == "text" else None,
        sentence=how if how in ("start", "end") else None,  # type: ignore[arg-type]
        gate=None if gate is None else Gate(MEAN, 0.3, 0.0, None if gate == site else gate),
    )
