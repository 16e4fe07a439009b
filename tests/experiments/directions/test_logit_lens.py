"""The lens against its formulas, against a direction that does decode, and against random vectors that do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from multidir.errors import ConfigError, DesignError
from multidir.experiments.directions.logit_lens import lens_headline, lens_scores, lens_tables, word_mask
from multidir.experiments.paper.claims import does_not_decode
from multidir.experiments.settings import Lens
from multidir.models.unembedding import Unembedding
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.records.verdict import Status

D, V = 24, 90
TOKENS = (" Wait", "wait", "await", " but", "Button", " the", *(f"w{i}" for i in range(V - 6)))
WAIT = [True, True, True] + [False] * (V - 3)


@pytest.fixture
def reader() -> Unembedding:
    """Fixed rows: in some draws another row than a word's lies along the words' mean."""
    weight = torch.as_tensor(np.random.default_rng(0).normal(size=(V, D)), dtype=torch.float32)
    return Unembedding("reasoning", weight, nn.Identity(), TOKENS)


def directions(*vectors: np.ndarray, role: str = "base", site: int = 10) -> DirectionSet:
    source = {"role": role, "label": "backtracking", "offsets": [-13, -8]}
    return DirectionSet(
        Direction.from_vector(f"v{i}", v, Site(site), "diffmeans", source) for i, v in enumerate(vectors)
    )


def test_words_are_found_inside_tokens_in_any_case() -> None:
    assert word_mask(TOKENS, ["wait"]).tolist() == WAIT
    assert word_mask(TOKENS, ["WAIT", "but"]).sum() == 5
    with pytest.raises(DesignError, match="no token of this vocabulary contains hmm"):
        word_mask(TOKENS, ["hmm"])


def test_equation_two(reader: Unembedding, rng: np.random.Generator) -> None:
    """s(v) = (W v) . a / |a|_1, written out."""
    x = rng.normal(size=(4, D))
    mask = word_mask(TOKENS, ["wait", "but"])
    a = mask.astype(float)
    expected = (x @ reader.weight.numpy().T.astype(float)) @ a / np.abs(a).sum()
    np.testing.assert_allclose(lens_scores(Lens(), reader.logits(x), mask), expected, rtol=1e-4, atol=1e-6)


def test_the_codes_rule_sums_what_stands_among_the_top() -> None:
    logits = np.array([[5.0, 4.0, -1.0, 9.0, 3.0], [0.0, 1.0, 2.0, 3.0, 4.0]], dtype=np.float32)
    mask = np.array([True, True, True, False, False])
    for k, expected in ((1, [0, 0]), (2, [5, 0]), (3, [9, 2]), (5, [8, 3]), (99, [8, 3])):
        np.testing.assert_allclose(lens_scores(Lens(rule="top", top_k=k), logits, mask), expected)


def test_a_direction_made_of_the_words_decodes_and_others_do_not(reader: Unembedding, rng) -> None:
    planted = reader.weight[:3].numpy().mean(axis=0)
    free = np.linalg.svd(reader.weight[:3].numpy())[2][-1]  # orthogonal to every one of the words' rows
    for lens in (Lens(words=("wait",)), Lens("top", ("wait",)), Lens(words=("wait",), final_norm=True)):
        scores, tokens = lens_tables(directions(planted, free), [reader], lens, 200, 0)
        assert scores.loc[0, "score"] > scores.loc[0, "null_high"]
        assert scores.loc[0, "null_above"] == 0
        assert scores.loc[1, "score"] == pytest.approx(0, abs=1e-5)
        top = tokens[tokens["direction"] == "v0"].iloc[0]
        assert "ait" in top["token"]
        assert (top["is_word"], top["place"]) == (True, 1)
        assert len(tokens) == 20


def test_random_vectors_lie_inside_their_own_null(reader: Unembedding, rng: np.random.Generator) -> None:
    scores, _ = lens_tables(directions(*rng.normal(size=(400, D))), [reader], Lens(), 400, 1)
    outside = ((scores["score"] < scores["null_low"]) | (scores["score"] > scores["null_high"])).mean()
    assert 0.01 < outside < 0.12
    assert "of 400 readings of base-derived directions" in lens_headline(scores, "backtracking")


def test_length_plays_no_part(reader: Unembedding, rng: np.random.Generator) -> None:
    v = rng.normal(size=D)
    scores, _ = lens_tables(directions(v, 100 * v), [reader], Lens(), 50, 0)
    assert scores["score"].iloc[0] == pytest.approx(scores["score"].iloc[1], rel=1e-5)


def test_another_width_is_refused(reader: Unembedding) -> None:
    with pytest.raises(DesignError, match=r"width 3 cannot be read by the reasoning model's unembedding of width 24"):
        lens_tables(directions(np.ones(3)), [reader], Lens(), 10, 0)


@pytest.mark.parametrize("wrong", [{"words": ()}, {"top_k": 0}])
def test_a_lens_that_sees_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="give a word"):
        Lens(**wrong)  # type: ignore[arg-type]


def scored(*values: float) -> pd.DataFrame:
    rows = [("d", "base", "backtracking", "L10.resid_post", f"u{i}", v, -0.1, 0.1) for i, v in enumerate(values)]
    names = ["direction", "role", "label", "site", "unembedding", "score", "null_low", "null_high"]
    return pd.DataFrame(rows, columns=names)


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ((0.0, 0.09), Status.SUPPORTED),
        ((-0.5,), Status.SUPPORTED),
        ((0.2, 0.3), Status.REFUTED),
        ((0.0, 0.2), Status.UNDETERMINED),
    ],
)
def test_the_claim_is_decided_by_random_vectors(values: tuple[float, ...], status: Status) -> None:
    (verdict,) = does_not_decode(scored(*values), "backtracking", "L10.resid_post", ["wait", "but"])
    assert verdict.status is status
    assert verdict.claim == "The base-derived direction at L10.resid_post does not decode to wait or but."


def test_without_such_a_direction_nothing_is_claimed() -> None:
    assert does_not_decode(scored(0.0), "backtracking", "L9.resid_post", ["wait"]) == []
