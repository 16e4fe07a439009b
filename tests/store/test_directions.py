"""Direction files: exact, deterministic, and refused when they are anything else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from multidir.errors import FormatError
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.store.directions import load_directions, load_published, save_directions


@pytest.fixture
def directions(rng: np.random.Generator) -> DirectionSet:
    site = Site(10)
    return DirectionSet(
        Direction.from_vector(name, rng.normal(size=7) * 3, site, "diffmeans", {"offsets": [-13, -8], "store": "abc"})
        for name in ("base/backtracking", "reasoning/backtracking", "random 1")
    )


def test_round_trip_is_exact_and_bytes_repeat(tmp_path: Path, directions: DirectionSet) -> None:
    save_directions(tmp_path / "a.safetensors", directions)
    save_directions(tmp_path / "b.safetensors", directions)
    loaded = load_directions(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert loaded.names == directions.names
    for one, other in zip(loaded, directions, strict=True):
        np.testing.assert_array_equal(one.unit, other.unit)
        assert (one.length, one.site, one.method, one.source) == (
            other.length,
            other.site,
            other.method,
            other.source,
        )
    assert load_file(tmp_path / "a.safetensors")["units"].shape == (3, 7)


def _rewrite(path: Path, units: np.ndarray, **changes: object) -> None:
    facts = {"format": "multidir-directions", "version": 1}
    facts["directions"] = [
        {"name": f"v{i}", "length": 1.0, "site": "L1.resid_post", "method": "given", "source": {}}
        for i in range(len(units))
    ]
    save_file({"units": units}, path, metadata={"multidir": json.dumps(facts | changes)})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 2}, "format version 2, this multidir reads 1; update multidir"),
        ({"format": "other"}, "expected format 'multidir-directions', got 'other'"),
        ({"directions": []}, "expected `units` with 0 rows"),
        ({"directions": [{"name": "v"}, {}]}, "metadata of a direction is incomplete"),
    ],
)
def test_wrong_metadata_is_refused(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    _rewrite(tmp_path / "x", np.eye(2), **changes)
    with pytest.raises(FormatError, match=sentence):
        load_directions(tmp_path / "x")


@pytest.mark.parametrize("units", [np.full((1, 3), np.nan), np.array([[1.0, 1.0, 0.0]])])
def test_a_vector_that_is_no_unit_vector_is_refused(tmp_path: Path, units: np.ndarray) -> None:
    _rewrite(tmp_path / "x", units)
    with pytest.raises(FormatError, match=r"x: direction 'v0'"):
        load_directions(tmp_path / "x")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, this is not a tensor file at all")
    save_file({"a": np.eye(2)}, tmp_path / "foreign")
    with pytest.raises(FormatError, match="cannot be read as safetensors"):
        load_directions(tmp_path / "text")
    with pytest.raises(FormatError, match="not a direction file of multidir; load_published"):
        load_directions(tmp_path / "foreign")
    with pytest.raises(FormatError, match="does not exist"):
        load_directions(tmp_path / "absent")


def test_a_truncated_file_is_refused(tmp_path: Path, directions: DirectionSet) -> None:
    save_directions(tmp_path / "x", directions)
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(data[:-8])
    with pytest.raises(FormatError, match="cannot be read as safetensors"):
        load_directions(tmp_path / "x")


def test_published_vectors_keep_their_lengths(tmp_path: Path) -> None:
    save_file(
        {"base/b": np.array([3.0, 4.0], np.float32), "reasoning/b": np.array([[0.0, 2.0]], np.float32)}, tmp_path / "x"
    )
    loaded = load_published(tmp_path / "x", Site(10))
    assert loaded.names == ("base/b", "reasoning/b")
    assert [item.length for item in loaded] == [5.0, 2.0]
    assert loaded["base/b"].site == Site(10)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"other/b": np.ones(2)}, "expected keys <role>/<label>.* got other/b"),
        ({"base": np.ones(2)}, "got base"),
        ({"base/b": np.ones((2, 2))}, r"base/b: expected one vector, got shape \(2, 2\)"),
        ({"base/b": np.zeros(2)}, "there is nothing to steer with"),
    ],
)
def test_published_files_of_another_shape_are_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray], sentence: str
) -> None:
    save_file(tensors, tmp_path / "x")
    with pytest.raises(FormatError, match=sentence):
        load_published(tmp_path / "x", Site(10))


def test_the_published_vectors_of_the_paper_load(reference: Path) -> None:
    loaded = load_published(reference / "directions_l10.safetensors", Site(10))
    assert len(loaded) == 12
    assert loaded.d == 4096
