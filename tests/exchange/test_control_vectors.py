"""GGUF control vectors: those of repeng are read, ours come back whole, everything else is refused."""

from __future__ import annotations

import builtins
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import ConfigError, DesignError, FormatError, MissingExtra
from multidir.exchange.control_vectors import read_control_vector, write_control_vector
from multidir.records.direction import Direction
from multidir.records.intervention import Dose
from multidir.records.site import Site
from tests.exchange.vectors import GOLDEN, VECTORS, some


def test_a_file_of_repeng_is_read() -> None:
    found = read_control_vector(GOLDEN / "repeng.gguf")
    assert found.names == tuple(f"repeng L{n}.resid_post" for n in VECTORS)
    for item, (n, vector) in zip(found, VECTORS.items(), strict=True):
        assert (item.site, item.method, item.source["model_hint"]) == (Site(n), "control vector", "llama")
        np.testing.assert_allclose(item.vector, vector)


@given(st.integers(1, 60), st.sampled_from(Site.STREAMS), st.floats(0.01, 50), st.booleans())
def test_ours_come_back_whole(
    tmp_path_factory: pytest.TempPathFactory, layer: int, stream: str, dose: float, neg: bool
) -> None:
    path = tmp_path_factory.mktemp("gguf") / "v.gguf"
    items = some((Site(layer + 1, stream), Site(70)))
    write_control_vector(path, items, "qwen2", Dose(-dose if neg else dose, "residual"))
    for read, written in zip(read_control_vector(path), items, strict=True):
        assert (read.name, read.site, read.method, read.source) == (
            written.name,
            written.site,
            written.method,
            written.source,
        )
        np.testing.assert_allclose(read.vector, written.vector, rtol=1e-5, atol=1e-6)


def test_the_file_says_what_llama_cpp_and_repeng_look_for(tmp_path: Path) -> None:
    write_control_vector(tmp_path / "v.gguf", some(), "llama", Dose(3, "residual"))
    reader = gguf.GGUFReader(tmp_path / "v.gguf")
    text = {name: str(bytes(field.parts[-1]), "utf-8") for name, field in reader.fields.items() if "hint" in name}
    assert text == {"controlvector.model_hint": "llama"}
    assert reader.fields["controlvector.layer_count"].parts[-1].tolist() == [3]
    assert [t.name for t in reader.tensors] == ["direction.1", "direction.2", "direction.3"]
    for tensor, item in zip(reader.tensors, some(), strict=True):
        assert (tensor.tensor_type, tuple(tensor.shape)) == (gguf.GGMLQuantizationType.F32, (6,))
        np.testing.assert_allclose(tensor.data, 3 * item.unit, rtol=1e-6)


def test_what_llama_cpp_cannot_steer_is_refused(tmp_path: Path) -> None:
    for site in (Site(0), Site(1, "resid_pre")):
        with pytest.raises(ConfigError, match=r"output of block 0, which llama\.cpp cannot steer"):
            write_control_vector(tmp_path / "v.gguf", some((site,)))
    with pytest.raises(DesignError, match="at least one direction"):
        write_control_vector(tmp_path / "v.gguf", [])
    assert list(tmp_path.iterdir()) == []


def _write(path: Path, arch: str, tensors: dict[str, np.ndarray], ours: str = "") -> Path:
    writer = gguf.GGUFWriter(path, arch)
    if ours:
        writer.add_string("controlvector.multidir", ours)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


ONE = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("arch", "tensors", "ours", "sentence"),
    [
        ("llama", {"direction.1": ONE}, "", "is a GGUF file of 'llama', not of a 'controlvector'"),
        ("controlvector", {"other": ONE}, "", "holds no tensor direction.N"),
        ("controlvector", {"direction.x": ONE}, "", r"direction\.x names no layer"),
        ("controlvector", {"direction.1": np.ones((2, 3), np.float32)}, "", r"shape \(2, 3\), not one float vector"),
        ("controlvector", {"direction.1": np.ones(3, np.int32)}, "", "int32 of shape"),
        ("controlvector", {"direction.1": ONE * 0}, "", "nothing to steer with"),
        ("controlvector", {"direction.1": ONE * np.nan}, "", "has length nan"),
        ("controlvector", {"direction.1": ONE, "direction.2": np.ones(4, np.float32)}, "", "share one width"),
        ("controlvector", {"direction.1": ONE}, '{"1": {}}', "the notes of multidir in it do not fit"),
        ("controlvector", {"direction.1": ONE}, "{}", "the notes of multidir in it do not fit"),
        ("controlvector", {"direction.1": ONE}, "{", "the notes of multidir in it do not fit"),
    ],
)
def test_other_gguf_files_are_refused(
    tmp_path: Path, arch: str, tensors: dict[str, np.ndarray], ours: str, sentence: str
) -> None:
    with pytest.raises(FormatError, match=sentence):
        read_control_vector(_write(tmp_path / "v.gguf", arch, tensors, ours))


def test_half_precision_and_block_zero_are_read(tmp_path: Path) -> None:
    found = read_control_vector(_write(tmp_path / "v.gguf", "controlvector", {"direction.0": ONE.astype(np.float16)}))
    assert (found.names, found["v"].site) == (("v",), Site(0))


def test_broken_files_are_refused(tmp_path: Path) -> None:
    whole = (GOLDEN / "repeng.gguf").read_bytes()
    for n in (0, 3, 40, 130, len(whole) - 10):
        (tmp_path / "v.gguf").write_bytes(whole[:n])
        with pytest.raises(FormatError, match="cannot be read as GGUF"):
            read_control_vector(tmp_path / "v.gguf")
    (tmp_path / "v.gguf").write_bytes(b"PK" * 100)
    with pytest.raises(FormatError, match="cannot be read as GGUF"):
        read_control_vector(tmp_path / "v.gguf")
    with pytest.raises(FormatError, match="does not exist"):
        read_control_vector(tmp_path / "absent.gguf")


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name == "gguf":
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'multidir\[real\]'"):
        read_control_vector(GOLDEN / "repeng.gguf")
    with pytest.raises(MissingExtra, match=r"pip install 'multidir\[real\]'"):
        write_control_vector(tmp_path / "v.gguf", some())


def test_a_number_like_another_is_refused(tmp_path: Path) -> None:
    same = [Direction.from_vector(name, np.ones(3), Site(4)) for name in "ab"]
    with pytest.raises(ConfigError, match="'a' and 'b' both belong to the output of block 4"):
        write_control_vector(tmp_path / "v.gguf", same)
