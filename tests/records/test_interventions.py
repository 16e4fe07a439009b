"""Interventions, erasers, latents and noise as nouns: what fits together and what does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multidir.errors import ConfigError
from multidir.records.direction import Direction
from multidir.records.eraser import Eraser
from multidir.records.intervention import TAKES, Dose, Intervention, Noise
from multidir.records.latent import Latent
from multidir.records.scope import Scope
from multidir.records.site import Site

SITE = Site(2)
UNIT = Direction.from_vector("up", np.array([0, 3.0, 0]), SITE)


class Sae:
    W_enc, b_enc, W_dec, b_dec = np.ones((3, 4)), np.zeros(4), np.ones((4, 3)), np.zeros(3)
    threshold: np.ndarray | None = None
    k: int | None = None


def test_an_intervention_reads_a_scope_and_says_what_it_is() -> None:
    item = Intervention(UNIT, Dose(2, "residual"), scope="generated[3:]")  # type: ignore[arg-type]
    assert item.scope == Scope("generated", 3)
    assert (item.site, item.name, str(item)) == (SITE, "up", "add 2 of up at L2.resid_post, generated[3:]")
    assert str(Intervention(SITE, Dose(2, "activation"), "amplify")).startswith("amplify 2v of L2.resid_post at")


def test_an_operator_takes_its_subject_and_says_what_else_would() -> None:
    with pytest.raises(ConfigError, match="'add' takes a Direction, got Eraser 'up', which goes with erase"):
        Intervention(Eraser.project_out(UNIT), Dose(1))
    with pytest.raises(ConfigError, match="'noise' takes a Noise, got Direction 'up', which goes with add and replace"):
        Intervention(UNIT, Dose(1), "noise")
    with pytest.raises(ConfigError, match="no operator 'multiply' for 'up'; there are add, replace, erase"):
        Intervention(UNIT, Dose(1), "multiply")  # type: ignore[arg-type]


@pytest.mark.parametrize("operator", TAKES)
def test_an_operator_takes_its_doses_only(operator: str) -> None:
    subjects = {"erase": Eraser.project_out(UNIT), "clamp": Latent(Sae(), 1, SITE), "amplify": SITE}
    subject = subjects.get(operator, Noise(SITE) if operator == "noise" else UNIT)
    for unit in ("residual", "relative", "activation", "kl", "share"):
        dose = Dose(1, unit)  # type: ignore[arg-type]
        if unit in TAKES[operator][1]:  # type: ignore[index]
            assert Intervention(subject, dose, operator).dose == dose  # type: ignore[arg-type]
        else:
            with pytest.raises(ConfigError, match=f"'{operator}' of .* takes a dose in .*, got 1 in {unit}"):
                Intervention(subject, dose, operator)  # type: ignore[arg-type]


def test_erasing_is_whole_unless_said_otherwise_and_adding_needs_a_dose() -> None:
    assert Intervention(Eraser.project_out(UNIT), operator="erase").dose == Dose(1, "share")
    with pytest.raises(ConfigError, match="'add' of 'up' takes a dose in residual or relative or activation or kl"):
        Intervention(UNIT)


def test_erasers_of_one_or_several_directions() -> None:
    other = Direction.from_vector("mixed", np.array([1.0, 1, 0]), SITE)
    both = Eraser.project_out([UNIT, other, other])
    assert (both.name, both.left.shape, both.d, both.method) == ("up + mixed + mixed", (2, 3), 3, "project_out")
    assert Eraser.mean_ablate(UNIT, np.ones(3)).center.tolist() == [1, 1, 1]
    assert replace(both, site=Site(7)).site == Site(7)
    with pytest.raises(ConfigError, match=r"one site and width, at least one; got up \(3 at L2.* away \(3 at L9"):
        Eraser.project_out([UNIT, replace(UNIT, name="away", site=Site(9))])
    with pytest.raises(ConfigError, match="at least one; got none"):
        Eraser.project_out([])
    with pytest.raises(ConfigError, match=r"center \(d,\), got \(1, 3\), \(1, 3\) and \(4,\)"):
        Eraser.mean_ablate(UNIT, np.ones(4))
    with pytest.raises(ConfigError, match="is not finite"):
        Eraser.mean_ablate(UNIT, np.array([0, np.nan, 0]))
    with pytest.raises(ConfigError, match="would erase nothing"):
        Eraser("none", SITE, np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(3))


def test_a_latent_belongs_to_its_dictionary() -> None:
    assert Latent(Sae(), 3, SITE).d == 3
    with pytest.raises(ConfigError, match=r"latent-4 at L2\.resid_post is beyond its dictionary of 4 latents"):
        Latent(Sae(), 4, SITE)
    for name, value, match in (
        ("W_dec", np.ones((3, 4)), "do not fit"),
        ("W_dec", np.zeros((4, 3)), "decoder row is zero"),
        ("W_enc", np.full((3, 4), np.nan), "not finite"),
        ("threshold", np.ones(3), "threshold"),
        ("k", 5, "k is 5, of 4 latents"),
    ):
        broken = Sae()
        setattr(broken, name, value)
        with pytest.raises(ConfigError, match=match):
            Latent(broken, 1, SITE)


def test_noise_needs_a_covariance_it_can_be_drawn_from() -> None:
    assert Noise(SITE).d is None
    assert Noise(SITE, factor=np.ones((2, 5))).d == 5
    for factor in (np.ones(3), np.zeros((2, 3)), np.full((2, 3), np.inf)):
        with pytest.raises(ConfigError, match=r"expected a finite factor \(r, d\)"):
            Noise(SITE, factor=factor)
