from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import AlignmentError, DesignError
from multidir.linalg.angles import cosine
from multidir.linalg.basis import orthonormal_basis
from multidir.methods.diffmeans import TraceSums
from multidir.methods.reliability import Case, direction_estimates
from multidir.store.activations import ActivationStore
from tests.methods.planted import ANNOTATOR, N_TRACES, OFFSETS, PLANTED, SITE, D, diffmeans


def by_hand(store: ActivationStore, role: str, label: str, offsets: tuple[int, int]) -> np.ndarray:
    """Difference of means straight from the rows."""
    mine, everyone = [], []
    for sentence in store.labels(ANNOTATOR):
        rows = store.rows(role, SITE, store.trace_rows(sentence.trace_id)).astype(np.float64)
        low, high = (sentence.token_start + offset for offset in offsets)
        if sentence.label is not None and low >= 1 and high < len(rows):
            everyone.append(rows[low : high + 1])
            if sentence.label == label:
                mine.append(rows[low : high + 1])
    return np.concatenate(mine).mean(axis=0) - np.concatenate(everyone).mean(axis=0)


@pytest.mark.parametrize("offsets", [OFFSETS, (-13, -8), (0, 2)])
def test_equal_to_the_definition_on_all_rows(store: ActivationStore, offsets: tuple[int, int]) -> None:
    found = diffmeans(store, "base", "deduction", offsets)
    np.testing.assert_allclose(found.vector, by_hand(store, "base", "deduction", offsets), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("role", ["base", "reasoning"])
@pytest.mark.parametrize("mean", ["token", "trace"])
def test_the_planted_direction_is_found(store: ActivationStore, role, mean) -> None:
    found = diffmeans(store, role, "backtracking", OFFSETS, mean, "rest")
    assert cosine(found.unit, PLANTED[role]) > 0.98
    assert found.length == pytest.approx(np.linalg.norm(PLANTED[role]), rel=0.1)


def test_nothing_is_found_where_nothing_was_planted(store: ActivationStore) -> None:
    found = diffmeans(store, "base", "backtracking", (-3, -1), reference="rest")
    assert found.length < 0.4


def test_a_direction_knows_its_origin(store: ActivationStore) -> None:
    found = diffmeans(store, "base", "backtracking", OFFSETS)
    assert found.name == "base/backtracking L1.resid_post -6..-4"
    assert (found.method, found.site) == ("diffmeans", SITE)
    assert found.source["offsets"] == list(OFFSETS)
    assert found.source["role"] == "base"
    assert found.source["store"] == store.content_hash
    assert found.source["rows"] % 3 == 0
    assert 0 < found.source["traces"] <= N_TRACES


def test_an_empty_class_is_refused_with_what_there_is(store: ActivationStore) -> None:
    with pytest.raises(
        DesignError, match=r"no 'musing' row of annotator planted/1 in window base L1.*backtracking \d+"
    ):
        diffmeans(store, "base", "musing", OFFSETS)
    # the first sentence begins at position 1: its windows before that are left out
    with pytest.raises(DesignError, match="no 'initializing' row"):
        diffmeans(store, "base", "initializing", OFFSETS)
    assert diffmeans(store, "base", "initializing", (0, 1)).length > 0


def cases(store: ActivationStore, roles=("base", "reasoning"), offsets=OFFSETS) -> dict[str, Case]:
    return {role: Case(TraceSums.read(store, role, SITE, ANNOTATOR, offsets), "backtracking") for role in roles}


def test_norms_and_cosine_with_intervals(store: ActivationStore, rng: np.random.Generator) -> None:
    found = direction_estimates(cases(store), rng, 400, reference="rest")
    for role in store.roles:
        truth = float(np.linalg.norm(PLANTED[role]))
        assert found.norm[role].low <= truth <= found.norm[role].high
        assert found.norm[role].n == N_TRACES
        assert found.raw_norm[role] > found.norm[role].value
        assert found.split_half[role].value > 0.9
    assert found.cosine["base", "reasoning"].low <= 2**-0.5 <= found.cosine["base", "reasoning"].high
    assert found.raw_cosine["base", "reasoning"] == pytest.approx(2**-0.5, abs=0.1)


def test_without_an_effect_the_halves_disagree(store: ActivationStore, rng: np.random.Generator) -> None:
    found = direction_estimates(cases(store, ("base",), (1, 1)), rng, 400)
    assert abs(found.split_half["base"].value) < 0.35
    assert found.norm["base"].low < 0.1
    assert found.cosine == {}


def test_draws_in_blocks_are_the_draws(store: ActivationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one = direction_estimates(cases(store), np.random.default_rng(0), 90)
    monkeypatch.setattr("multidir.methods.reliability._BLOCK", 7)
    other = direction_estimates(cases(store), np.random.default_rng(0), 90)
    assert one.cosine["base", "reasoning"].low == pytest.approx(other.cosine["base", "reasoning"].low, rel=1e-12)


def test_only_the_same_traces_compare(store: ActivationStore, rng: np.random.Generator) -> None:
    whole = TraceSums.read(store, "base", SITE, ANNOTATOR, OFFSETS)
    part = TraceSums("base", SITE, ANNOTATOR, OFFSETS, whole.sums[:9], whole.counts[:9], whole.labels)
    with pytest.raises(AlignmentError, match=f"a {N_TRACES} traces of width {D}, b 9 traces"):
        direction_estimates({"a": Case(whole, "backtracking"), "b": Case(part, "backtracking")}, rng)
    with pytest.raises(AlignmentError, match="none at all"):
        direction_estimates({}, rng)


def test_traces_that_do_not_count_change_nothing(store: ActivationStore, rng: np.random.Generator) -> None:
    """A case over some traces is the case of a store that holds only those."""
    whole = TraceSums.read(store, "base", SITE, ANNOTATOR, OFFSETS)
    part = TraceSums("base", SITE, ANNOTATOR, OFFSETS, whole.sums[:9], whole.counts[:9], whole.labels)
    among = np.arange(N_TRACES) < 9
    weights = rng.integers(0, 3, (5, N_TRACES)).astype(float)
    for mean in ("token", "trace"):
        masked = Case(whole, "backtracking", among).vectors(weights, mean, "all")
        np.testing.assert_allclose(masked, Case(part, "backtracking").vectors(weights[:, :9], mean, "all"), atol=1e-12)
    found = direction_estimates({"some": Case(whole, "backtracking", among)}, rng, 100)
    assert found.norm["some"].n == 9


@pytest.mark.parametrize("offsets", [OFFSETS, (-1, 2)])
def test_label_vectors_cancel_and_lose_one_dimension(store: ActivationStore, offsets: tuple[int, int]) -> None:
    """Pooled, with positives in the reference: the count-weighted vectors sum to zero, and g of them span g - 1."""
    read = TraceSums.read(store, "reasoning", SITE, ANNOTATOR, offsets)
    found = [read.direction(label) for label in read.present]
    rows = np.array([item.source["rows"] for item in found])
    vectors = np.stack([item.vector for item in found])
    np.testing.assert_allclose(rows @ vectors / rows.sum(), 0, atol=1e-9)
    assert len(orthonormal_basis(vectors, 1e-8)) == len(found) - 1
    rest = np.stack([read.direction(label, "trace", "all").vector for label in read.present])
    assert len(orthonormal_basis(rest, 1e-8)) == len(found), "the identity is one of pooled means only"


def test_with_the_positives_in_the_reference_a_vector_is_shorter_by_their_share(store: ActivationStore) -> None:
    read = TraceSums.read(store, "base", SITE, ANNOTATOR, OFFSETS)
    share = read.counts[:, read.index("backtracking")].sum() / read.counts.sum()
    everyone, rest = (read.direction("backtracking", reference=reference) for reference in ("all", "rest"))
    np.testing.assert_allclose(everyone.vector, (1 - share) * rest.vector, rtol=1e-9, atol=1e-12)
