"""A dose curve in one batch: 6 doses x 8 prompts x 128 tokens, every row its own vector.

    python -m tests.benchmarks.steering [--quick] [--json]

Against transformers' own `generate` with a plain hook, one dose at a time (8 rows) and one prompt and
one dose at a time (1 row), and against the same batch without steering. Greedy, random weights, no early
end; all ways must write the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from multidir.models.generate import Generation, generate
from multidir.models.load import LanguageModel
from multidir.models.sampling import Sampling
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.steer.steering import row_edits
from multidir.steer.sweep import sweep
from tests.benchmarks.measure import Row, arguments, interleaved, note, random_llama, ratio, show

DOSES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
SITE = Site(2)
Tokens = dict[tuple[float, int], tuple[int, ...]]


class Curve:
    """The dose curve, done in several ways."""

    def __init__(self, lm: LanguageModel, new_tokens: int) -> None:
        g = torch.Generator().manual_seed(1)
        self.lm, self.new_tokens = lm, new_tokens
        self.prompts = torch.randint(0, lm.vocab_size, (8, 32), generator=g).to(lm.device)
        self.sampling = Sampling(False, max_new_tokens=new_tokens)
        rng = np.random.default_rng(0)
        self.bank = [Direction.from_vector(f"v{i}", rng.normal(size=lm.d), SITE) for i in range(16)]
        self.rows = self.prompts.repeat(6, 1).tolist()

    def ours(self) -> Tokens:
        """The sweep, with seeds, receipts and all."""
        conditions = [(f"{dose}", Intervention(self.bank[0], Dose(dose, "residual"))) for dose in DOSES]
        prompts = [(str(i), ids) for i, ids in enumerate(self.prompts.tolist())]
        found = sweep(self.lm, prompts, conditions, 1, self.sampling, 48)
        return {(float(s.key), int(s.prompt_id)): s.generation.new_ids for s in found}

    def theirs(self, doses: tuple[float, ...], prompts: range, rows: int) -> Tokens:
        """`generate` of transformers with a hook, one dose at a time."""
        found: Tokens = {}
        vector = torch.as_tensor(self.bank[0].unit).to(self.lm.device, self.lm.dtype)
        block = self.lm.model.model.layers[SITE.layer]
        for dose in doses:
            handle = block.register_forward_hook(lambda m, a, out, add=dose * vector: out + add)
            for first in range(prompts.start, prompts.stop, rows):
                ids = self.prompts[first : first + rows]
                out = self.lm.model.generate(
                    ids, attention_mask=torch.ones_like(ids), max_new_tokens=self.new_tokens, do_sample=False
                )
                found |= {(dose, first + i): tuple(row[32:].tolist()) for i, row in enumerate(out)}
            handle.remove()
        return found

    def batched(self, k: int) -> list[Generation]:
        """All 48 rows with mixtures of k directions each; 0 for none."""
        doses = [dose for dose in DOSES for _ in range(8)]
        mixtures = (
            [[Intervention(v, Dose(1 + dose / k, "residual")) for v in self.bank[:k]] for dose in doses] if k else []
        )
        return generate(self.lm, self.rows, [0] * 48, self.sampling, row_edits(self.lm, mixtures), 48)


def measure(shape: str, curve: Curve, rounds: int) -> list[Row]:
    some, part = slice(1, None, 4), 48 / 4  # two doses and two prompts stand for all in the slowest way
    ways: dict[str, Callable[[], object]] = {
        "sweep": curve.ours,
        "dose by dose": lambda: curve.theirs(DOSES, range(8), 8),
        "row by row": lambda: curve.theirs(DOSES[some], range(2), 1),
    }
    taken = interleaved(ways, rounds)
    ours, theirs = curve.ours(), curve.theirs(DOSES, range(8), 8)
    same = sum(ours[cell] == theirs[cell] for cell in theirs) / len(theirs)
    rate = 48 * curve.new_tokens / min(taken["sweep"])
    exact = None if curve.lm.dtype == torch.bfloat16 else 1.0
    plain = "transformers generate with a hook"
    return [
        Row(
            f"steering.sweep.vs_dose_by_dose.{shape}",
            ratio(taken["dose by dose"], taken["sweep"]),
            "x",
            f"{plain}, one dose at a time",
            rounds,
            3.0,
        ),
        Row(
            f"steering.sweep.vs_row_by_row.{shape}",
            ratio(taken["row by row"], taken["sweep"], part),
            "x",
            f"{plain}, one prompt and dose at a time",
            rounds,
            10.0,
        ),
        Row(
            f"steering.tokens_per_second.{shape}",
            rate,
            "tokens/s",
            f"{torch.get_num_threads()} threads or one GPU",
            rounds,
        ),
        Row(f"steering.same_tokens.{shape}", same, "share", plain, len(theirs), exact),
    ]


def cost(shape: str, curve: Curve, rounds: int) -> list[Row]:
    """What the edit itself costs: the same rows without, with one vector each, with mixtures of 16."""
    taken = interleaved({f"{k} vectors": lambda k=k: curve.batched(k) for k in (0, 1, 16)}, rounds)
    against = "the same 48 rows unsteered"
    return [
        Row(f"steering.cost.{name}.{shape}", ratio(taken["0 vectors"], taken[way]), "x", against, rounds, goal)
        for name, way, goal in (("one_vector", "1 vectors", 0.98), ("mixtures_of_16", "16 vectors", 0.95))
    ]


def main() -> None:
    options = arguments(__doc__ or "")
    found: list[Row] = []
    shapes = {
        "tiny_pair": {"d": 128, "layers": 6, "vocab": 768, "mlp": 384},
        "d256": {"d": 256, "layers": 8, "vocab": 4096},
    }
    if torch.cuda.is_available():
        shapes["8b"] = {"d": 4096, "layers": 32, "vocab": 128256, "heads": 32, "kv_heads": 8, "mlp": 14336}
    for shape, sizes in shapes.items():
        note(f"{shape}: {sizes}")
        lm = random_llama(**sizes)
        found += measure(shape, Curve(lm, 128), 3 if options.quick else 7)
        found += cost(shape, Curve(lm, 32), 9 if options.quick else 25)
    show("A dose curve of 48 rows", found, options.json)


if __name__ == "__main__":
    main()
