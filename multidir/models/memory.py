"""How many rows fit into memory at once, and telling that there was not enough of it."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

from multidir.models.blocks import cached, decoder
from multidir.models.cache import RoomyCache
from multidir.models.language_model import LanguageModel
from multidir.models.room import SPARE
from multidir.models.sampling import Sampling

MOST = {"cpu": 256, "cuda": 1024}
"""More rows are never taken: beyond, a step takes as many times longer as it has more rows."""
SHARE = {"cpu": 0.4, "cuda": 0.8}
"""Share of the free memory that is used: a machine's memory is there for others too."""
_UNKNOWN = 4 << 30
"""Free bytes that are assumed where the system does not say."""


def rows_that_fit(lm: LanguageModel, tokens: int, sampling: Sampling) -> int:
    """Rows of a batch whose keys, values and logits fit into what is free now; at least 1.

    Args:
        tokens: tokens that a row keeps in the cache, those it will write included.
    """
    kind = lm.device.type
    logits = lm.vocab_size * (40 if sampling.do_sample else 12)  # float32, sorted copies, sums in float64
    row = bytes_per_token(lm) * (tokens + SPARE) + logits
    return max(1, min(MOST.get(kind, MOST["cuda"]), int(SHARE.get(kind, 0.5) * free_bytes(lm.device) / row)))


@torch.inference_mode()
def bytes_per_token(lm: LanguageModel) -> int:
    """Bytes that the cache holds for one token, found by running one."""
    cache = RoomyCache(lm.model, spare=1)
    token = torch.zeros(1, 1, dtype=torch.long, device=lm.device)
    module = decoder(lm.model)
    module(input_ids=token, position_ids=token, **cached(module, cache), use_cache=True)
    views = (room.view for room in cache.rooms)
    return sum(view.numel() * view.element_size() for view in views if view is not None)


def free_bytes(device: torch.device) -> int:
    """Free memory of a device; of a CPU what the system and the container leave."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    return min(_available(Path("/proc/meminfo")), _left_in_container(Path("/sys/fs/cgroup")))


def _available(meminfo: Path) -> int:
    if meminfo.exists():
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return _UNKNOWN


def _left_in_container(group: Path) -> int:
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1 << 62
    return 1 << 62 if limit == "max" else max(0, int(limit) - used)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def release() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
