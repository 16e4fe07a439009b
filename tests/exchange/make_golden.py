"""Makes the files in `golden/` with the real packages, and reads ours with them. Needs an environment of its own:

    python -m venv /tmp/peers && /tmp/peers/bin/pip install torch transformers scikit-learn \
        gguf==0.19.0 repeng==0.4.0 steering-vectors==0.12.2 pydantic cloudpickle zstandard
    /tmp/peers/bin/pip download --no-deps --python-version 3.12 --only-binary :all: vllm-lens==1.3.0   # unpack it
    PYTHONPATH=.:UNPACKED /tmp/peers/bin/python tests/exchange/make_golden.py

vllm-lens itself wants its own vLLM; the part that reads a request does not.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

np.float_ = np.float64  # noqa: NPY201 - repeng 0.4.0 was written for numpy 1

from repeng import ControlModel, ControlVector  # noqa: E402
from steering_vectors import SteeringVector  # noqa: E402
from vllm_lens._helpers.types import SteeringVector as ServerVector  # noqa: E402

from multidir.exchange.control_vectors import write_control_vector  # noqa: E402
from multidir.exchange.requests import steering_request  # noqa: E402
from multidir.exchange.torch_files import write_torch  # noqa: E402
from multidir.records.direction import Direction  # noqa: E402
from multidir.records.intervention import Dose, Intervention  # noqa: E402
from multidir.records.site import Site  # noqa: E402
from multidir.steer.steering import steer  # noqa: E402
from tests.models.tiny import tiny_lm  # noqa: E402

GOLDEN = Path(__file__).parent / "golden"
VECTORS = {n: (np.arange(6) - n * 1.5).astype(np.float32) for n in (1, 2, 3)}


def make() -> None:
    GOLDEN.mkdir(exist_ok=True)
    ControlVector("llama", VECTORS).export_gguf(GOLDEN / "repeng.gguf")
    tensors = {n: torch.from_numpy(v) for n, v in VECTORS.items()}
    torch.save(SteeringVector(tensors), GOLDEN / "steering_vectors.pt")
    torch.save(SteeringVector(tensors, "mlp"), GOLDEN / "steering_vectors_mlp.pt")
    served = ServerVector(activations=tensors[2][None], layer_indices=[2], scale=0.5)
    (GOLDEN / "vllm_lens.json").write_text(json.dumps(served.model_dump(mode="json"), indent=1) + "\n")


def check() -> None:
    """What we write, the real packages read as what we meant."""
    directions = [Direction.from_vector(f"d{n}", v, Site(n)) for n, v in VECTORS.items()]
    write_control_vector(GOLDEN / "ours.gguf", directions)
    read = ControlVector.import_gguf(GOLDEN / "ours.gguf")
    assert read.model_type == "llama"
    write_torch(GOLDEN / "ours.pt", directions, steering_vectors=True)
    theirs = SteeringVector(**torch.load(GOLDEN / "ours.pt", weights_only=True))  # noqa: TID251
    request = steering_request("vllm-lens", [Intervention(item, Dose(2.0, "activation")) for item in directions])
    served = [ServerVector.model_validate(v) for v in json.loads(request.body["vllm_xargs"]["apply_steering_vectors"])]
    for n, vector in VECTORS.items():
        np.testing.assert_allclose(read.directions[n], vector, rtol=1e-6)
        np.testing.assert_allclose(theirs.layer_activations[n].numpy(), vector, rtol=1e-6)
        (one,) = [s for s in served if s.layer_indices == [n]]
        np.testing.assert_allclose((one.activations * one.scale)[0].numpy(), 2 * vector, rtol=1e-6)
    for name in ("ours.gguf", "ours.pt"):
        (GOLDEN / name).unlink()


def check_layers() -> None:
    """Layer n of either package is the same place as our site: the logits agree."""
    ids = torch.arange(8)[None] + 5
    vector = np.random.default_rng(0).normal(size=32).astype(np.float32)
    for n in range(4):
        lm = tiny_lm()
        plain = lm.model(ids).logits
        with steer(lm, Intervention(Direction.from_vector("v", vector, Site(n)), Dose(1.0, "activation"))):
            ours = lm.model(ids).logits
        with SteeringVector({n: torch.from_numpy(vector)}).apply(lm.model):
            theirs = lm.model(ids).logits
        model = ControlModel(lm.model, [n])
        model.set_control(ControlVector("llama", {n: vector}))
        controlled = model(ids).logits
        assert (ours - plain).abs().max() > 0.1
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(controlled, ours, rtol=1e-4, atol=1e-4)


if __name__ == "__main__":
    make()
    check()
    check_layers()
