"""`.pt` files: the forms people save, each at the right site; nothing that would run code."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from multidir.errors import ConfigError, FormatError
from multidir.exchange.torch_files import read_torch, write_torch
from multidir.records.intervention import Dose
from multidir.records.site import Site
from tests.exchange.vectors import GOLDEN, VECTORS, some

V = torch.tensor([3.0, 0.0, 4.0])
STACK = torch.arange(12.0).reshape(4, 3) + 1


def save(tmp_path: Path, content: object) -> Path:
    torch.save(content, tmp_path / "v.pt")
    return tmp_path / "v.pt"


def test_an_object_of_steering_vectors_is_read_without_the_package() -> None:
    found = read_torch(GOLDEN / "steering_vectors.pt")
    for item, (n, vector) in zip(found, VECTORS.items(), strict=True):
        assert (item.site, item.method) == (Site(n), "steering vector")
        np.testing.assert_allclose(item.vector, vector)
    assert read_torch(GOLDEN / "steering_vectors.pt", sites=[Site(2)]).names == ("steering_vectors L2.resid_post",)


def test_steering_of_something_else_than_the_residual_stream_is_refused() -> None:
    with pytest.raises(FormatError, match="steers 'mlp'; multidir steers the residual stream"):
        read_torch(GOLDEN / "steering_vectors_mlp.pt")


@pytest.mark.parametrize("fields", [True, False])
def test_what_we_write_is_read_back(tmp_path: Path, fields: bool) -> None:
    items = some((Site(0), Site(2), Site(4, "resid_pre")))
    write_torch(tmp_path / "v.pt", items, Dose(2, "activation"), steering_vectors=fields)
    found = read_torch(tmp_path / "v.pt", rows=None if fields else "blocks")
    assert [item.site for item in found] == [Site(0), Site(2), Site(3)]
    for read, written in zip(found, items, strict=True):
        np.testing.assert_allclose(read.vector, 2 * written.vector, rtol=1e-5)
    content = torch.load(tmp_path / "v.pt", weights_only=True)  # noqa: TID251 - nothing but weights
    layers = content["layer_activations"] if fields else content
    assert list(layers) == [0, 2, 3]
    assert all(value.dtype == torch.float32 and value.shape == (6,) for value in layers.values())


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 1, 3)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_one_vector_needs_its_site(tmp_path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    path = save(tmp_path, V.reshape(shape).to(dtype))
    found = read_torch(path, site=Site(10))
    assert (found.names, found["v"].site, found["v"].length) == (("v",), Site(10), 5.0)
    with pytest.raises(ConfigError, match=r"does not say where 'v' belongs: give its site, such as L10"):
        read_torch(path)


def test_rows_are_layers_of_the_kind_that_was_said(tmp_path: Path) -> None:
    for content in (STACK, {"v": STACK}):
        path = save(tmp_path, content)
        blocks, states = read_torch(path, rows="blocks"), read_torch(path, rows="hidden_states")
        assert [item.site for item in blocks] == [Site(n) for n in range(4)]
        assert [item.site for item in states] == [Site(0, "resid_pre"), Site(0), Site(1), Site(2)]
        assert [item.site.hidden_states_index for item in states] == [0, 1, 2, 3]
        for found in (blocks, states):
            np.testing.assert_allclose([item.vector for item in found], STACK)
        with pytest.raises(ConfigError, match=r"rows `blocks` .* or `hidden_states`"):
            read_torch(path)


@pytest.mark.parametrize("key", ["{}", "layer_{}", "layers.{}", "layer{}", "L{}"])
def test_dictionaries_by_layer(tmp_path: Path, key: str) -> None:
    path = save(tmp_path, {key.format(n): STACK[n] for n in (2, 0)})
    found = read_torch(path, rows="blocks")
    assert [(item.name, item.site) for item in found] == [("v L0.resid_post", Site(0)), ("v L2.resid_post", Site(2))]
    np.testing.assert_allclose(found["v L2.resid_post"].vector, STACK[2])
    ints = save(tmp_path, {n: STACK[n] for n in (2, 0)})
    assert [item.site for item in read_torch(ints, rows="hidden_states")] == [Site(0, "resid_pre"), Site(1)]


def test_named_vectors_at_one_site(tmp_path: Path) -> None:
    found = read_torch(save(tmp_path, {"a": V, "b": V * 2}), site=Site(3, "resid_pre"))
    assert [(item.name, item.length, str(item.site)) for item in found] == [
        ("a", 5.0, "L3.resid_pre"),
        ("b", 10.0, "L3.resid_pre"),
    ]


def test_means_by_label_become_differences_at_block_outputs(tmp_path: Path) -> None:
    overall = torch.ones(4, 3)
    with pytest.raises(FormatError, match="has length 0"):
        read_torch(save(tmp_path, {"overall": {"mean": overall, "count": 1}, "a": {"mean": overall, "count": 1}}))
    path = save(
        tmp_path,
        {"overall": {"mean": overall, "count": 100}, "backtracking": {"mean": STACK + 1, "count": 7}},
    )
    found = read_torch(path, sites=[Site(2)])
    assert found.names == ("backtracking L2.resid_post",)
    (item,) = found
    assert (item.method, item.source["label"], item.source["n"]) == ("diffmeans", "backtracking", 7)
    np.testing.assert_allclose(item.vector, STACK[2])


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch exploded",)


@pytest.mark.parametrize("content", [Bomb(), {"a": Bomb()}, {"layer_activations": Bomb()}])
def test_a_file_that_would_run_code_is_refused(
    tmp_path: Path, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormatError, match="cannot be read without running code"):
        read_torch(save(tmp_path, content))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([V], "holds a list, neither a tensor nor"),
        ({}, "holds a dict, neither"),
        ({"a": [1.0]}, "holds a dict, neither"),
        ({"a": V[:0]}, r"'a' is not one vector, got \(0,\)|nothing to steer with"),
        ({1: STACK}, r"'1' is not one vector, got \(4, 3\)"),
        ({"a": V * 0}, "nothing to steer with"),
        ({"a": V, "b": torch.ones(4)}, "share one width"),
        ({"layer_activations": {-1: V}}, "expected layer_activations by block"),
        ({"layer_activations": {}}, "expected layer_activations by block"),
        ({"layer_activations": {1: STACK}}, "'1' is not one vector"),
        ({"a": {"mean": STACK, "count": 1}}, r"means by label need 'overall' and one shape .* got {'a': \(4, 3\)}"),
        ({"overall": {"mean": V, "count": 1}}, r"one row per block, \(l, d\); got shape \(3,\)"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: object, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        read_torch(save(tmp_path, content), site=Site(1), rows="blocks")


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"not a tensor file")
    with pytest.raises(FormatError, match="cannot be read"):
        read_torch(tmp_path / "x.pt")
    with pytest.raises(FormatError, match="does not exist"):
        read_torch(tmp_path / "absent.pt")
