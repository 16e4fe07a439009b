from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import AlignmentError, ConfigError, DesignError
from multidir.records.direction import Direction, DirectionSet
from multidir.records.intervention import Dose
from multidir.records.outcome import Condition
from multidir.records.pair import TINY, Pair
from multidir.records.site import Site
from multidir.records.text import Prompt, Sentence, Trace
from multidir.records.verdict import Status, Verdict

SITE = Site(10)


@given(st.integers(0, 200), st.sampled_from(Site.STREAMS))
def test_a_site_prints_and_parses(layer: int, stream: str) -> None:
    site = Site(layer, stream)
    assert Site.parse(str(site)) == site
    assert site.hidden_states_index == layer + (stream == "resid_post")


def test_sites_compare_along_the_model() -> None:
    assert Site.parse("L10") == SITE
    assert Site(2, "resid_pre") < Site(2) < Site(10, "resid_pre")
    for wrong in ("10", "L", "L1.mlp", "l1", "L-1"):
        with pytest.raises(ConfigError, match="is not a site; write L<block>"):
            Site.parse(wrong)
    with pytest.raises(ConfigError, match="no such site: layer -1"):
        Site(-1)


def test_a_direction_is_unit_and_length(rng: np.random.Generator) -> None:
    raw = rng.normal(size=8).astype(np.float32) * 3
    found = Direction.from_vector("v", raw, SITE)
    assert np.linalg.norm(found.unit) == pytest.approx(1)
    np.testing.assert_allclose(found.vector, raw, rtol=1e-6)
    assert found.d == 8
    with pytest.raises(DesignError, match=r"has length 0\.0"):
        Direction.from_vector("v", np.zeros(3), SITE)
    with pytest.raises(DesignError, match="has length nan"):
        Direction.from_vector("v", np.array([1, math.nan]), SITE)
    with pytest.raises(ConfigError, match="unit has norm 2"):
        Direction("v", np.array([2.0, 0]), 1.0, SITE)
    with pytest.raises(ConfigError, match=r"got shape \(1, 2\)"):
        Direction("v", np.array([[1.0, 0]]), 1.0, SITE)


def test_a_set_finds_measures_and_orthogonalises(rng: np.random.Generator) -> None:
    both = DirectionSet(Direction.from_vector(name, rng.normal(size=5), SITE) for name in "ab")
    assert "a" in both
    assert both.names == ("a", "b")
    np.testing.assert_allclose(both.gram()[0, 1], both["a"].unit @ both["b"].unit)
    assert both.basis().shape == (2, 5)
    apart = both.orthogonalized()
    np.testing.assert_allclose(apart.gram(), np.eye(2), atol=1e-12)
    assert [item.length for item in apart] == [item.length for item in both]
    assert apart["a"].unit @ both["a"].unit == pytest.approx(apart["b"].unit @ both["b"].unit)
    with pytest.raises(ConfigError, match="no direction 'c'; there are a, b"):
        both["c"]
    with pytest.raises(DesignError, match="at least one"):
        DirectionSet([])
    with pytest.raises(ConfigError, match=r"repeat: \['a'\]"):
        DirectionSet([both["a"], both["a"]])
    with pytest.raises(ConfigError, match="a: 5, c: 3"):
        DirectionSet([both["a"], Direction.from_vector("c", np.ones(3), SITE)])


def test_dependent_directions_cannot_be_orthogonalised() -> None:
    twins = DirectionSet(Direction.from_vector(name, np.array([1.0, 2]), SITE) for name in "ab")
    assert twins.basis().shape == (1, 2)
    with pytest.raises(DesignError, match="span only 1"):
        twins.orthogonalized()


def test_a_dose_has_a_unit() -> None:
    assert [str(Dose(1.5, unit)) for unit in ("residual", "relative", "activation")] == ["1.5", "1.5x", "1.5v"]
    with pytest.raises(ConfigError, match="no dose unit 'percent'"):
        Dose(1, "percent")
    with pytest.raises(ConfigError, match="finite number, got nan"):
        Dose(math.nan)


def test_text_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no text"):
        Prompt("p", "verbal", " ")
    with pytest.raises(ConfigError, match="has no id"):
        Prompt("", "verbal", "Why?")
    with pytest.raises(AlignmentError, match="n_prompt is 4, but there are 3 tokens"):
        Trace("t", "p", "verbal", (1, 2, 3), 4, "")
    assert Sentence("t", 0, 0, 5, 3, 4, None, "x/1").label is None
    for span in ((5, 5, 3, 4), (0, 5, 4, 3), (-1, 5, 3, 4)):
        with pytest.raises(AlignmentError, match="empty or reversed span"):
            Sentence("t", 0, *span, "backtracking", "x/1")


def test_a_condition_is_named_by_all_its_parts() -> None:
    keys = {
        Condition(t, d, dose, u).key for t in "ab" for d in "xy" for dose in (0, 0.5) for u in ("relative", "residual")
    }
    assert len(keys) == 16


def test_a_pair_knows_its_roles() -> None:
    assert TINY.roles == ("base", "reasoning")
    assert Pair("folder").roles == ("base",)
    with pytest.raises(ConfigError, match="no reasoning model"):
        Pair("folder").source("reasoning")


def test_a_verdict_is_not_a_truth_value() -> None:
    verdict = Verdict("It helps.", Status.UNDETERMINED, "The interval is wide.", "above 2")
    assert str(verdict) == "undetermined: It helps. The interval is wide."
    with pytest.raises(TypeError, match="not a truth value"):
        bool(verdict)
