"""One trainer of sparse autoencoders in a process of its own, told what to do line by line; see tests.benchmarks.sae.

    python sae_peers.py TRAINER ARCHITECTURE DATA.npy SETTINGS.json

    step N     trains N steps and answers {"seconds": CPU seconds, or elapsed ones on a GPU}
    score      answers {"fvu": on rows that were not trained on, selected as in training, "l0": likewise}

It runs in our environment or in that of the peers, so it imports nothing of ours unless it is asked to train ours.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

Trainer = tuple[Callable[[int, torch.Tensor], object], Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]]
"""From (step, batch) to one training step, and from rows to their reconstruction and activations."""


def learner_of(arch: str, data: torch.Tensor, s: dict[str, Any]) -> Any:
    from multidir.sae.learner import Learner
    from multidir.sae.spec import DictionarySpec, Training

    nested = tuple(s["nested"]) if arch == "matryoshka" else ()
    spec = DictionarySpec(arch, data.shape[1], s["width"], s["k"], 0, nested)  # type: ignore[arg-type]
    training = Training(
        steps=10**6, batch=s["batch"], lr=s["lr"], decay=0, l0_weight=s["l0_weight"], dead_after=s["dead_after"]
    )
    compute = torch.bfloat16 if s["bf16"] else None
    learner = Learner(spec, training, data[: s["batch"]], data[: s["batch"]].mean(0), compute=compute)
    learner.idle += s["idle"]
    if learner.weights.threshold is not None and s["threshold"] is not None:
        learner.weights.threshold.data.fill_(s["threshold"])
    return learner


def multidir(arch: str, data: torch.Tensor, s: dict[str, Any]) -> Trainer:
    learner = learner_of(arch, data, s)

    def reconstruct(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found, active = learner.reconstruction(x)
        return found, active.values

    return lambda step, x: learner.step(x), reconstruct


def sae_lens(arch: str, data: torch.Tensor, s: dict[str, Any], sparse: bool = False) -> Trainer:
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.registry import get_sae_training_class
    from sae_lens.training.sae_trainer import SAETrainer

    kind, config = get_sae_training_class("matryoshka_batchtopk" if arch == "matryoshka" else arch)
    if sparse:
        from multidir.sae.lens import SparseBatchTopKTrainingSAE, SparseTopKTrainingSAE

        kind = {"topk": SparseTopKTrainingSAE, "batchtopk": SparseBatchTopKTrainingSAE}[arch]
    options: dict[str, Any] = {"k": s["k"], "device": s["device"]}
    if arch == "matryoshka":
        options["matryoshka_widths"] = [*s["nested"], s["width"]]
    if arch == "jumprelu":
        del options["k"]
        options |= {"jumprelu_sparsity_loss_mode": "quadratic", "target_l0": float(s["k"]), "jumprelu_bandwidth": 0.1}
        options["l0_coefficient"] = s["l0_weight"]
    sae = kind(config(d_in=data.shape[1], d_sae=s["width"], **options))
    if arch == "jumprelu":  # two trainers that follow a sparsity loss compare from one start only
        ours = learner_of(arch, data, s).weights
        start = {"W_enc": ours.enc.T, "b_enc": ours.enc_bias, "W_dec": ours.dec, "b_dec": ours.dec_bias}
        for name, value in {**start, "threshold": ours.threshold}.items():
            getattr(sae, name).data.copy_(value.detach())
    trainer = SAETrainer(
        cfg=SAETrainerConfig(
            n_checkpoints=0,
            checkpoint_path=None,
            save_final_checkpoint=False,
            total_training_samples=10**9,
            device=s["device"],
            autocast=s["bf16"],
            lr=s["lr"],
            lr_end=s["lr"],
            lr_scheduler_name="constant",
            lr_warm_up_steps=0,
            adam_beta1=0.9,
            adam_beta2=0.999,
            lr_decay_steps=0,
            n_restart_cycles=1,
            train_batch_size_samples=s["batch"],
            dead_feature_window=1000,
            feature_sampling_window=2000,
            logger=LoggingConfig(log_to_wandb=False),
            n_batches_for_norm_estimate=1,
        ),
        sae=sae,
        data_provider=iter(()),
    )

    def reconstruct(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            acts, _ = sae.encode_with_hidden_pre(x)
            return sae.decode(acts), acts

    return lambda step, x: trainer.step(x), reconstruct


def dictionary_learning(arch: str, data: torch.Tensor, s: dict[str, Any]) -> Trainer:
    stub("nnsight", "datasets")
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    kind = {"topk": TopKTrainer, "batchtopk": BatchTopKTrainer}[arch]
    trainer = kind(
        steps=10**6,
        activation_dim=data.shape[1],
        dict_size=s["width"],
        k=s["k"],
        layer=0,
        lm_name="synthetic",
        lr=s["lr"],
        warmup_steps=1,
        seed=0,
        device=s["device"],
    )

    def reconstruct(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            acts = trainer.ae.encode(x, use_threshold=False)
            return trainer.ae.decode(acts), acts

    return trainer.update, reconstruct


def sparsify(arch: str, data: torch.Tensor, s: dict[str, Any]) -> Trainer:
    if arch != "topk":
        raise ValueError(arch)
    stub("accelerate", "transformers", "huggingface_hub", "natsort", "datasets", "schedulefree", "bitsandbytes")
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()):  # it prints that Triton is missing
        from sparsify.config import SparseCoderConfig
        from sparsify.sparse_coder import SparseCoder

    torch.manual_seed(0)
    sae = SparseCoder(
        data.shape[1], SparseCoderConfig(num_latents=s["width"], k=s["k"]), s["device"], dtype=torch.float32
    )
    sae.b_dec.data = data[: s["batch"]].mean(0)
    adam = torch.optim.Adam(sae.parameters(), lr=s["lr"])
    idle = torch.zeros(s["width"], dtype=torch.int64, device=s["device"])

    def update(step: int, x: torch.Tensor) -> None:
        """The body of its trainer's loop, with its optional Adam and its bookkeeping of dead latents."""
        sae.set_decoder_norm_to_unit_norm()
        out = sae(x, dead_mask=idle > 10_000_000)
        fired = torch.zeros(s["width"], dtype=torch.bool, device=s["device"])
        fired[out.latent_indices.flatten()] = True
        (out.fvu + out.auxk_loss / 32).backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        adam.step()
        adam.zero_grad()
        idle.add_(len(x))
        idle[fired] = 0

    def reconstruct(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            out = sae(x)
            return out.sae_out, out.latent_acts

    return update, reconstruct


class _Stub(types.ModuleType):
    """A module in which every name is an empty class; for packages that a peer imports and these steps never use."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__module__": self.__name__})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        known = name.split(".")[0] in self.names
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: Any) -> _Stub:
        return _Stub(spec.name)

    def exec_module(self, module: Any) -> None:
        module.__path__ = []


def stub(*names: str) -> None:
    """Let packages that are not installed be imported."""
    sys.meta_path.append(_Finder(names))


TRAINERS = {
    "multidir": multidir,
    "sae_lens": sae_lens,
    "multidir in sae_lens": lambda *args: sae_lens(*args, sparse=True),
    "dictionary_learning": dictionary_learning,
    "sparsify": sparsify,
}


def batches(data: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """All rows but the last `size`, batch by batch, over and over."""
    yield from cycle([data[at : at + size] for at in range(0, len(data) - size, size)])


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    name, arch, file, settings = sys.argv[1:]
    s = json.loads(Path(settings).read_text())
    data, gpu = torch.from_numpy(np.load(file)).to(s["device"]), s["device"] == "cuda"
    clock = time.perf_counter if gpu else time.process_time
    step, reconstruct = TRAINERS[name](arch, data, s)
    stream, held_out, done = batches(data, s["batch"]), data[-s["batch"] :], 0
    print(json.dumps({"ready": torch.__version__}), flush=True)
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "step":
            start = clock()
            for _ in range(int(rest[0])):
                step(done, next(stream))
                done += 1
            if gpu:
                torch.cuda.synchronize()
            answer = {"seconds": clock() - start}
        else:
            found, acts = reconstruct(held_out)
            spread = (held_out - held_out.mean(0)).square().sum()
            fvu = ((found - held_out).square().sum() / spread).item()
            answer = {"fvu": fvu, "l0": int((acts > 0).sum()) / len(held_out)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
