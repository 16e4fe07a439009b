"""Steering sweeps: dose curves in one batch, prompts that are run once, and what an edit costs.

    python -m tests.benchmarks.steering [--quick] [--json] [--peers]

Against transformers' own `generate` with a plain hook, one dose at a time (8 rows) and one prompt and one dose at
a time (1 row); against one batch that shares no prompt; and against the same batch without steering. Greedy,
random weights, no early end. With --peers, and without --quick, the named libraries run beside us, each in its best
batched form, in an environment of their own. On a machine with a GPU an 8B-shaped model is measured too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata

import numpy as np
import torch

from multidir.models.forced import Context
from multidir.models.generate import generate
from multidir.models.generation import Generation
from multidir.models.language_model import LanguageModel
from multidir.models.sampling import Sampling
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.steer.forced import teacher_forced
from multidir.steer.steering import row_edits
from multidir.steer.sweep import sweep
from tests.benchmarks.measure import Row, arguments, interleaved, note, random_llama, ratio, show
from tests.benchmarks.peer_env import peer_python, run_there
from tests.benchmarks.steering_gpu import gpu_rows

DOSES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
SITE = Site(2)
LIBRARIES = ("nnsight==0.8.1", "transformer-lens==4.3.0", "pyvene==0.1.8")
PEERS = (*LIBRARIES, "gguf", "scikit-learn", "array-api-compat", "h5py")
FORCED_PEERS = ("steering-vectors==0.12.2", "repeng==0.4.0")
SMOLLM2 = {"d": 576, "layers": 30, "vocab": 49152, "heads": 9, "kv_heads": 3, "mlp": 1536}
"""SmolLM2-135M's."""
PLAIN = "transformers generate with a hook"
Tokens = dict[tuple[float, int], tuple[int, ...]]


class Curve:
    """The dose curve, done in several ways."""

    def __init__(self, lm: LanguageModel, new_tokens: int, prompt_tokens: int = 32, scope: str = "all") -> None:
        g = torch.Generator().manual_seed(1)
        self.lm, self.new_tokens, self.scope = lm, new_tokens, scope
        self.prompts = torch.randint(0, lm.vocab_size, (8, prompt_tokens), generator=g).to(lm.device)
        self.sampling = Sampling(False, max_new_tokens=new_tokens)
        rng = np.random.default_rng(0)
        self.bank = [Direction.from_vector(f"v{i}", rng.normal(size=lm.d), SITE) for i in range(16)]
        self.rows = self.prompts.repeat(6, 1).tolist()

    def ours(self, rows: int = 48, share: bool = True) -> Tokens:
        """The sweep, with seeds, receipts and all."""
        conditions = [
            (f"{dose}", Intervention(self.bank[0], Dose(dose, "residual"), scope=self.scope))  # type: ignore[arg-type]
            for dose in DOSES
        ]
        prompts = [(str(i), ids) for i, ids in enumerate(self.prompts.tolist())]
        found = sweep(self.lm, prompts, conditions, 1, self.sampling, rows, share=share)
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
                found |= {(dose, first + i): tuple(row[ids.shape[1] :].tolist()) for i, row in enumerate(out)}
            handle.remove()
        return found

    def batched(self, k: int) -> list[Generation]:
        """All 48 rows with mixtures of k directions each; 0 for none."""
        doses = [dose for dose in DOSES for _ in range(8)]
        mixtures = (
            [[Intervention(v, Dose(1 + dose / k, "residual")) for v in self.bank[:k]] for dose in doses] if k else []
        )
        return generate(self.lm, self.rows, [0] * 48, self.sampling, row_edits(self.lm, mixtures), 48, share=False)


def measure(shape: str, curve: Curve, rounds: int) -> list[Row]:
    some, part = slice(1, None, 4), 48 / 4  # two doses and two prompts stand for all in the slowest way
    ways: dict[str, Callable[[], object]] = {
        "sweep": curve.ours,
        "dose by dose": lambda: curve.theirs(DOSES, range(8), 8),
        "row by row": lambda: curve.theirs(DOSES[some], range(2), 1),
    }
    taken = interleaved(ways, rounds)
    ours, theirs = curve.ours(), curve.theirs(DOSES, range(8), 8)
    exact = None if curve.lm.dtype == torch.bfloat16 else 1.0
    dose_by_dose = ratio(taken["dose by dose"], taken["sweep"])
    row_by_row = ratio(taken["row by row"], taken["sweep"], part)
    by_dose, by_row = f"{PLAIN}, one dose at a time", f"{PLAIN}, one prompt and dose at a time"
    rate, threads = 48 * curve.new_tokens / min(taken["sweep"]), f"{torch.get_num_threads()} threads or one GPU"
    return [
        Row(f"steering.vs_dose_by_dose.{shape}", dose_by_dose, "x", by_dose, rounds, 3.0),
        Row(f"steering.vs_row_by_row.{shape}", row_by_row, "x", by_row, rounds, 10.0),
        Row(f"steering.tokens_per_second.{shape}", rate, "tokens/s", threads, rounds),
        Row(f"steering.same_tokens.{shape}", same(ours, theirs), "share", PLAIN, len(theirs), exact),
    ]


def same(some: Tokens, others: Tokens) -> float:
    """Share of the rows with the same tokens."""
    return sum(some[cell] == others[cell] for cell in others) / len(others)


def cost(shape: str, curve: Curve, rounds: int) -> list[Row]:
    """What the edit itself costs: the same rows without, with one vector each, with mixtures of 16."""
    taken = interleaved({f"{k} vectors": lambda k=k: curve.batched(k) for k in (0, 1, 16)}, rounds)
    against = "the same 48 rows unsteered"
    return [
        Row(f"steering.cost.{name}.{shape}", ratio(taken["0 vectors"], taken[way]), "x", against, rounds, goal)
        for name, way, goal in (("one_vector", "1 vectors", 0.98), ("mixtures_of_16", "16 vectors", 0.95))
    ]


def shared(shape: str, curve: Curve, rounds: int) -> list[Row]:
    """Long prompts that six doses share, against the same batch in which every row runs its own."""
    taken = interleaved({"shared": curve.ours, "apart": lambda: curve.ours(share=False)}, rounds)
    together = curve.ours()
    apart, alone = curve.ours(share=False), curve.ours(1, share=False)
    speed, n = ratio(taken["apart"], taken["shared"]), len(together)
    return [
        Row(f"steering.shared_prompts.{shape}", speed, "x", "one batch of 48 without sharing", rounds, 2.5),
        Row(f"steering.same_tokens.not_shared.{shape}", same(together, apart), "share", "without sharing", n, 1.0),
        Row(
            f"steering.same_tokens.batch_1.{shape}",
            same(together, alone),
            "share",
            "batches of one row",
            n,
            1.0,
        ),
    ]


def forced(shape: str, curve: Curve, rounds: int) -> list[Row]:
    """Contexts per second of the teacher-forced mode: 64 tokens, the next one asked at the last, 12 doses."""
    ids = torch.randint(0, curve.lm.vocab_size, (128, 64), generator=torch.Generator().manual_seed(2)).tolist()
    contexts = [Context(each, (63,), 64) for each in ids]
    items = [Intervention(curve.bank[0], Dose(1.0 + i, "residual"), scope="generated") for i in range(12)]  # type: ignore[arg-type]
    taken = interleaved({"forced": lambda: teacher_forced(curve.lm, contexts, items, [1, 2])}, rounds)["forced"]
    rate = len(contexts) * len(items) / float(np.median(taken))
    return [Row(f"steering.contexts_per_second.{shape}", rate, "1/s", "64 tokens, 12 doses of the last", rounds, 1000)]


def against_peers(quick: bool, threads: int) -> list[Row]:
    """The same 48 rows by other libraries, with the torch and transformers of this environment."""
    ours = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in ("torch", "transformers")]
    python = peer_python("steering", [*ours, *PEERS], FORCED_PEERS)
    out = run_there(python, "tests.benchmarks.steering_peers", "--threads", str(threads), *["--quick"] * quick)
    return [Row(**json.loads(line)) for line in out.splitlines() if line.startswith("{")]


def main() -> None:
    options = arguments(__doc__ or "", peers=True)
    found: list[Row] = []
    shapes = {
        "tiny_pair": {"d": 128, "layers": 6, "vocab": 768, "mlp": 384},
        "d256": {"d": 256, "layers": 8, "vocab": 4096},
    }
    rounds = 3 if options.quick else 7
    for shape, sizes in shapes.items():
        note(f"{shape}: {sizes}")
        lm = random_llama(**sizes)
        found += measure(shape, Curve(lm, 128), rounds)
        found += cost(shape, Curve(lm, 128), rounds if options.quick else 15)
        found += forced(shape, Curve(lm, 1), rounds)
    found += shared("d256", Curve(lm, 32, 512, "generated"), rounds)
    if not options.quick:
        note(f"smollm2: {SMOLLM2}")
        found += measure("smollm2", Curve(random_llama(**SMOLLM2), 128), 3)
    if torch.cuda.is_available():
        found += gpu_rows()
    if options.peers or not options.quick:
        found += against_peers(options.quick, options.threads)
    show("Steering sweeps", found, options.json)


if __name__ == "__main__":
    main()
