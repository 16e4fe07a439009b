"""Bodies for steering servers: decoded as the servers decode them, and honest about what is missing."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from multidir.errors import ConfigError
from multidir.exchange.requests import SteeringRequest, steering_request
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from tests.exchange.vectors import GOLDEN, VECTORS, some

NORMS = {Site(1): 8.0, Site(2): 4.0}


def edits(scope: str = "all", unit: str = "activation") -> list[Intervention]:
    return [Intervention(item, Dose(0.5, unit), scope=scope) for item in some((Site(1), Site(2)))]  # type: ignore[arg-type]


def decoded(tensor: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(tensor["data"], validate=True), "<f4").reshape(tensor["shape"])


def vllm_lens(request: SteeringRequest) -> list[dict[str, Any]]:
    assert set(request.body) == {"vllm_xargs"}
    found: list[dict[str, Any]] = json.loads(request.body["vllm_xargs"]["apply_steering_vectors"])
    return found


def test_vllm_lens_adds_the_dose_at_the_block() -> None:
    request = steering_request("vllm-lens", edits())
    assert request.not_expressed == ()
    for sent, item in zip(vllm_lens(request), edits(), strict=True):
        assert sent["layer_indices"] == [item.subject.site.layer]
        added = decoded(sent["activations"]) * sent["scale"]
        np.testing.assert_allclose(added, 0.5 * item.subject.vector[None], rtol=1e-6)


def test_vllm_lens_gets_the_fields_of_its_own_class() -> None:
    """What the class itself writes, apart from the compression, which is optional."""
    golden = json.loads((GOLDEN / "vllm_lens.json").read_text())
    item = Direction.from_vector("v", VECTORS[2], Site(2))
    (sent,) = vllm_lens(steering_request("vllm-lens", [Intervention(item, Dose(0.5, "residual"))]))
    assert set(sent) == set(golden)
    assert set(golden["activations"]) - set(sent["activations"]) == {"compression"}
    for name in set(sent) - {"activations"}:
        assert sent[name] == golden[name]
    for name in ("dtype", "original_dtype", "shape"):
        assert sent["activations"][name] == golden["activations"][name]


@pytest.mark.parametrize(
    ("scope", "apply"),
    [
        ("all", {"prompt": "all", "generation": "all"}),
        ("prompt", {"prompt": "all"}),
        ("generated", {"prompt_positions": [-1], "generation": "all"}),
    ],
)
def test_easysteer_gets_scope_and_a_payload_whose_hash_fits(scope: str, apply: dict[str, Any]) -> None:
    request = steering_request("easysteer", edits(scope, "relative"), NORMS)
    assert request.not_expressed == ()
    steering = request.body["steering"]
    assert steering["conflict"] == "sequential"
    for sent, item in zip(steering["vectors"], edits(scope), strict=True):
        block = item.subject.site.layer
        assert (sent["algorithm"], sent["layers"], sent["normalize"]) == ("direct", [block], False)
        assert sent["apply"] == apply
        wire, key = sent["data"], f"layer.{block}"
        vector = decoded(wire["tensors"][key])
        np.testing.assert_allclose(vector * sent["scale"], 0.5 * NORMS[Site(block)] * item.subject.unit, rtol=1e-6)
        assert (wire["version"], wire["kind"], wire["extra"]) == (1, "direction", {})
        text = f"direction:1{key}(6,)".encode() + vector.tobytes()
        assert wire["sha256"] == hashlib.sha256(text).hexdigest()
    assert json.loads(json.dumps(request.body)) == request.body


@pytest.mark.parametrize("server", ["vllm-lens", "easysteer"])
def test_the_input_of_a_block_is_sent_as_the_output_of_the_one_before(server: str) -> None:
    (item,) = some((Site(4, "resid_pre"),))
    body = steering_request(server, [Intervention(item, Dose(1, "residual"))]).body  # type: ignore[arg-type]
    layers = body["steering"]["vectors"][0]["layers"] if server == "easysteer" else None
    assert layers == [3] if layers else '"layer_indices": [3]' in body["vllm_xargs"]["apply_steering_vectors"]


def test_what_cannot_be_said_is_left_out_and_named() -> None:
    good, *_ = edits()
    embedding = Intervention(
        some((Site(0, "resid_pre"),))["reasoning/backtracking L0.resid_pre -13..-8"], Dose(1, "residual")
    )
    put = replace(good, operator="replace")
    later = replace(good, scope="generated")
    odd = replace(good, scope="decoded at sentence start")  # type: ignore[arg-type]
    lens = steering_request("vllm-lens", [good, embedding, put, later])
    assert len(vllm_lens(lens)) == 1
    assert [sentence.partition(": ")[2] for sentence in lens.not_expressed] == [
        "vllm-lens adds to outputs of blocks, and L0.resid_pre is the embedding.",
        "the operator 'replace' has no counterpart in a request to vllm-lens.",
        "the scope 'generated' depends on the length of the prompt, and vllm-lens adds at all positions or at "
        "positions counted beforehand.",
    ]
    easy = steering_request("easysteer", [good, embedding, put, later, odd])
    assert len(easy.body["steering"]["vectors"]) == 2
    assert "the scope 'decoded at sentence start' has no counterpart" in easy.not_expressed[-1]


def test_a_request_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"vllm-lens can express none of it: .* is left out: the scope 'prompt'"):
        steering_request("vllm-lens", edits("prompt"))
    with pytest.raises(ConfigError, match="there is no intervention"):
        steering_request("easysteer", [])
    with pytest.raises(ConfigError, match="no steering server 'sglang'"):
        steering_request("sglang", edits())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="which is not given"):
        steering_request("easysteer", edits(unit="relative"))
