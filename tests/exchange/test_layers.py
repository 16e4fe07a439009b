"""Layer numbers of other programs against transformers itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import ConfigError, DesignError, FormatError
from multidir.exchange.layers import block_output, by_block, only_sites
from multidir.models.hooks import residual_hook
from multidir.records.intervention import Dose
from multidir.records.site import Site
from tests.exchange.vectors import some
from tests.models.tiny import tiny_lm


@pytest.mark.parametrize("site", [Site(0), Site(2), Site(1, "resid_pre"), Site(3, "resid_pre")], ids=str)
def test_a_site_is_the_output_of_the_block_it_is_written_as(site: Site) -> None:
    lm, ids, vector = tiny_lm(), torch.arange(7)[None] + 5, torch.linspace(-1, 1, 32)
    found = []
    for place in (site, Site(block_output(site))):
        with residual_hook(lm.model, place, lambda hidden: hidden + vector):
            found.append(lm.model(ids).logits)
    assert torch.equal(*found)
    assert not torch.equal(found[0], lm.model(ids).logits)


@given(st.integers(0, 80), st.sampled_from(Site.STREAMS))
def test_block_outputs_are_hidden_states_of_one_more(layer: int, stream: str) -> None:
    site = Site(layer, stream)
    if site.hidden_states_index == 0:
        with pytest.raises(ConfigError, match=r"L0\.resid_pre is the embedding"):
            block_output(site)
    else:
        assert block_output(site) + 1 == site.hidden_states_index


def test_vectors_have_the_length_of_their_dose() -> None:
    items = some()
    for dose, expected in ((Dose(2, "residual"), 2.0), (Dose(0.5, "relative"), 4.0), (Dose(-1.5, "activation"), None)):
        for item, vector in by_block(items, dose, dict.fromkeys(map(Site, (1, 2, 3)), 8.0)).values():
            want = expected if expected is not None else -1.5 * item.length
            np.testing.assert_allclose(vector, item.unit * want)


def test_two_directions_at_one_place_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"both belong to the output of block 1, .* choose one of them by name"):
        by_block(some((Site(1), Site(2, "resid_pre"))))
    with pytest.raises(DesignError, match="dose of 0"):
        by_block(some(), Dose(0))
    with pytest.raises(ConfigError, match="which is not given"):
        by_block(some(), Dose(1, "relative"))


def test_only_what_is_there_can_be_chosen() -> None:
    assert only_sites(some(), [Site(2)], "file").names == ("reasoning/backtracking L2.resid_post -13..-8",)
    with pytest.raises(FormatError, match=r"file holds nothing at L9\.resid_post; there are L1\.resid_post, L2"):
        only_sites(some(), [Site(9), Site(1)], "file")
