"""The dose curve of 48 rows by other libraries, each in its best batched form; started by `steering`.

All run the same random weights in one process and write the same tokens. What a library has no way to say (another
vector for every row) it is given through the nearest thing that it has, named in the row.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata

import nnsight
import numpy as np
import pyvene
import torch
from steering_vectors import SteeringVector
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from tests.benchmarks.measure import Row, arguments, interleaved, note, random_llama, ratio
from tests.benchmarks.steering import DOSES, SITE, Curve
from tests.models.tiny import tiny_tokenizer

vars(np)["float_"] = np.float64  # repeng 0.4.0 names a type that numpy 2 has not; fixed there, not released
from repeng import ControlModel  # noqa: E402

L = SITE.layer
Way = Callable[[], Tensor]
"""All tokens (48, prompt + new)."""


class Peers:
    """The same 48 rows, each with its own vector (48, 1, d)."""

    def __init__(self, curve: Curve) -> None:
        self.curve, self.model = curve, curve.lm.model
        self.ids = curve.prompts.repeat(6, 1)
        unit = torch.as_tensor(curve.bank[0].unit).to(curve.lm.dtype)
        self.add = torch.tensor(DOSES).repeat_interleave(8)[:, None, None] * unit
        self.options = {
            "attention_mask": torch.ones_like(self.ids),
            "max_new_tokens": curve.new_tokens,
            "do_sample": False,
        }

    def plain(self) -> Tensor:
        """`generate` with a hook that adds a vector per row."""
        handle = self.model.model.layers[L].register_forward_hook(lambda m, a, out: out + self.add)
        try:
            return self.model.generate(self.ids, **self.options)
        finally:
            handle.remove()

    def nnsight(self) -> Way:
        model = nnsight.LanguageModel(self.model, tokenizer=tiny_tokenizer())

        def way() -> Tensor:
            with model.generate(self.ids, **self.options) as tracer:
                with tracer.iter[: self.curve.new_tokens]:
                    model.model.layers[L].output[:] = model.model.layers[L].output + self.add
                out = tracer.result.save()
            return out  # noqa: RET504 - the trace fills it when it is left

        return way

    def transformer_lens(self) -> Way:
        with tempfile.TemporaryDirectory() as folder:
            self.model.save_pretrained(folder)
            tiny_tokenizer().save_pretrained(folder)
            bridge = TransformerBridge.boot_transformers(folder, dtype=self.model.dtype, device="cpu")
        hooks = [(f"blocks.{L}.hook_out", lambda out, hook: out + self.add)]

        def way() -> Tensor:
            with bridge.hooks(fwd_hooks=hooks):
                return bridge.generate(
                    self.ids,
                    max_new_tokens=self.curve.new_tokens,
                    do_sample=False,
                    stop_at_eos=False,
                    verbose=False,
                    return_type="tokens",
                )

        return way

    def pyvene(self) -> Way:
        add = self.add

        class AddRows(pyvene.ConstantSourceIntervention):
            def forward(self, base: Tensor, source: object = None, subspaces: object = None) -> Tensor:
                return base + add

        config = pyvene.IntervenableConfig(
            [{"component": f"model.layers[{L}].output", "intervention": AddRows(keep_last_dim=True)}]
        )
        model = pyvene.IntervenableModel(config, model=self.model)

        def way() -> Tensor:
            _, out = model.generate(
                {"input_ids": self.ids, "attention_mask": self.options["attention_mask"]},
                unit_locations=None,
                intervene_on_prompt=True,
                max_new_tokens=self.curve.new_tokens,
                do_sample=False,
            )
            return out

        return way

    def steering_vectors(self) -> Way:
        vector = SteeringVector({L: torch.zeros(self.curve.lm.d)})

        def way() -> Tensor:
            with vector.apply(self.model, operator=lambda original, _: self.add.expand_as(original)):
                return self.model.generate(self.ids, **self.options)

        return way

    def repeng(self) -> Way:
        def way() -> Tensor:
            model = ControlModel(self.model, [L])
            model.set_raw_control({L: self.add})
            try:
                return model.generate(self.ids, **self.options)
            finally:
                model.unwrap()

        return way


def main() -> None:
    options = arguments(__doc__ or "")
    curve = Curve(random_llama(d=256, layers=8, vocab=4096), 64 if options.quick else 128)
    peers, expected = Peers(curve), curve.ours()
    names = ("nnsight", "transformer-lens", "pyvene", "steering-vectors", "repeng")
    ways: dict[str, Way] = {"transformers": peers.plain}
    for name in names:
        ways[name] = getattr(peers, name.replace("-", "_"))()
    tokens = {}
    for name, way in ways.items():
        note(name)
        tokens[name] = way()[:, -curve.new_tokens :].tolist()
    taken = interleaved({"multidir": curve.ours, **ways}, 3 if options.quick else 7)
    cells = [(dose, prompt) for dose in DOSES for prompt in range(8)]
    for name in ways:
        same = sum(tuple(row) == expected[cell] for row, cell in zip(tokens[name], cells, strict=True)) / len(cells)
        against = f"{name} {metadata.version(name)}, all 48 rows in one call, same tokens in {same:.0%} of them"
        row = Row(f"steering.vs.{name}", ratio(taken[name], taken["multidir"]), "x", against, len(taken[name]), 1.0)
        sys.stdout.write(json.dumps(row.__dict__) + "\n")


if __name__ == "__main__":
    main()
