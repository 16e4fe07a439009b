"""Directions in and out by command: the recipes on files of other programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from multidir.cli import main
from multidir.exchange.control_vectors import read_control_vector
from multidir.records.site import Site
from multidir.store.directions import load_directions, save_directions
from multidir.store.manifest_file import read_manifest
from tests.exchange.test_sae_decoder import make
from tests.exchange.vectors import GOLDEN, some


def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str) -> Path:
    assert main(["run", *arguments, "--runs", str(tmp_path / "runs")]) == 0
    return Path(capsys.readouterr().out.strip())


def test_a_control_vector_comes_in_and_goes_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    came = run(capsys, tmp_path, "train/import-directions", "--file", str(GOLDEN / "repeng.gguf"), "--role", "base")
    found = load_directions(came / "directions.safetensors")
    assert [item.source["role"] for item in found] == ["base"] * 3
    assert main(["show", str(came / "directions.safetensors")]) == 0
    assert "repeng L2.resid_post  L2.resid_post" in capsys.readouterr().out
    went = run(capsys, tmp_path, "train/export-directions", "--directions", str(came), "--to", "gguf")
    back = read_control_vector(went / "directions.gguf")
    assert back.names == found.names
    np.testing.assert_allclose(back.matrix(), found.matrix(), atol=1e-6)
    assert main(["show", str(went / "directions.gguf")]) == 0
    assert "3 directions of width 6" in capsys.readouterr().out
    assert main(["verify", str(went)]) == 0


def test_an_sae_is_an_input_by_its_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sae = make(tmp_path / "sae")
    arguments = ("train/import-directions", "--file", str(sae), "--latents", "3", "4")
    came = run(capsys, tmp_path, *arguments)
    assert load_directions(came / "directions.safetensors").names == ("sae/latent 3", "sae/latent 4")
    assert run(capsys, tmp_path, *arguments) == came
    config = json.loads((sae / "cfg.json").read_text())
    config["metadata"]["hook_name"] = "blocks.2.hook_resid_post"
    (sae / "cfg.json").write_text(json.dumps(config))
    other = run(capsys, tmp_path, *arguments)
    assert other != came
    assert load_directions(other / "directions.safetensors")["sae/latent 3"].site == Site(2)


def test_what_a_server_cannot_do_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(torch.arange(12.0).reshape(2, 6) + 1, tmp_path / "v.pt")
    came = run(capsys, tmp_path, "train/import-directions", "--file", str(tmp_path / "v.pt"), "--rows", "hidden_states")
    options = ("--directions", str(came), "--to", "vllm-lens", "--dose", "2", "--unit", "residual")
    went = run(capsys, tmp_path, "train/export-directions", *options)
    said = read_manifest(went)["notes"]["headline"]
    assert said.startswith("A request to vllm-lens with 1 of 2 directions. 'v L0.resid_pre' is left out: ")
    assert "apply_steering_vectors" in json.loads((went / "request.json").read_text())["vllm_xargs"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train/import-directions", "--file", "v.pt"], "does not say where 'v' belongs"),
        (
            ["train/import-directions", "--file", "v.pt", "--site", "L1", "--for-model", "shipped:tiny/base"],
            "width 128: 'v' has width 6",
        ),
        (["train/export-directions", "--directions", "run", "--unit", "relative"], "holds no norms.json"),
        (["train/export-directions", "--directions", "run", "--to", "pt", "--scope", "prompt"], "files hold no scope"),
        (["train/export-directions", "--directions", "run", "--names", "x"], "no direction 'x'"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(torch.ones(6), "v.pt")
    save_directions(tmp_path / "v.safetensors", some())
    if "run" in arguments:
        came = run(capsys, tmp_path, "train/import-directions", "--file", str(tmp_path / "v.safetensors"))
        arguments = [str(came) if word == "run" else word for word in arguments]
    assert main(["run", *arguments, "--runs", "runs"]) == 1
    said = capsys.readouterr()
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
