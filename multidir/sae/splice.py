"""What a dictionary keeps of what a model needs: predictions with the reconstruction in the residual stream's place.

    recovered = (CE ablated - CE spliced) / (CE ablated - CE clean)          1: nothing is lost, 0: as bad as no stream

The stream of each text's first token is left as it is: its norm is huge in many models and no dictionary is trained on
it. Ablated means the mean row in place of every other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multidir.errors import DesignError
from multidir.models.capture import check_sequences, length_batches, right_padded
from multidir.models.hooks import residual_hook
from multidir.models.language_model import LanguageModel
from multidir.records.site import Site
from multidir.sae.dictionary import Coder
from multidir.stats.bootstrap import weighted_bootstrap
from multidir.stats.estimate import Estimate
from multidir.types import FloatArray

_LOGITS = 1 << 25
"""Most logits of one kind held at once: 128 MiB in float32."""


@dataclass(frozen=True, eq=False)
class Spliced:
    """Sums of nats per text, over all its tokens but the first."""

    tokens: FloatArray
    """(t,) predicted tokens."""
    clean: FloatArray
    """(t,) cross-entropy of the model as it is."""
    spliced: FloatArray
    """(t,) with the reconstruction."""
    ablated: FloatArray
    """(t,) with the mean row."""
    divergence: FloatArray
    """(t,) Kullback-Leibler divergence of the spliced from the clean predictions."""

    def estimates(self, rng: np.random.Generator, draws: int = 1000) -> dict[str, Estimate]:
        """Means per token and the recovered share, with intervals that resample texts."""

        def mean(part: FloatArray, scale: str) -> Estimate:
            def statistic(w: FloatArray) -> FloatArray:
                found: FloatArray = (w @ part) / (w @ self.tokens)
                return found

            return weighted_bootstrap(statistic, len(part), rng, draws, scale=scale)

        def recovered(w: FloatArray) -> FloatArray:
            found: FloatArray = (w @ (self.ablated - self.spliced)) / (w @ (self.ablated - self.clean))
            return found

        return {
            "ce_clean": mean(self.clean, "nats per token"),
            "ce_spliced": mean(self.spliced, "nats per token"),
            "ce_ablated": mean(self.ablated, "nats per token"),
            "kl": mean(self.divergence, "nats per token"),
            "recovered": weighted_bootstrap(recovered, len(self.tokens), rng, draws, scale="share of cross-entropy"),
        }


@torch.inference_mode()
def splice(
    lm: LanguageModel,
    coder: Coder,
    site: Site,
    texts: Sequence[Sequence[int]],
    mean: Tensor,
    batch_tokens: int = 4096,
) -> Spliced:
    """Run texts through a model with and without the reconstruction.

    Args:
        lm: the whole model that the dictionary was trained on.
        coder: reads rows of that model at the site.
        site: where.
        texts: token ids, each of at least two tokens.
        mean: (d,) float. The row that ablation puts in.
        batch_tokens: tokens of one forward pass.

    Raises:
        ModelError: a model without its upper blocks.
        DesignError: a text of one token, or a dictionary of another width.
        AlignmentError: an id that the model does not know.
    """
    lm.require_complete("measure a dictionary")
    check_sequences(lm, texts)
    if any(len(text) < 2 for text in texts) or not texts or coder.d != lm.d:
        raise DesignError(
            f"splicing needs texts of two tokens and more, and a dictionary of width {lm.d}; got {coder.d}"
        )

    def reconstruct(rows: Tensor) -> Tensor:
        return coder.decode(coder.encode(rows.float())).to(rows.dtype)

    def ablate(rows: Tensor) -> Tensor:
        return mean.to(rows).expand_as(rows)

    sums = np.zeros((5, len(texts)))
    lengths = [len(text) for text in texts]
    limit = max(2, min(batch_tokens, _LOGITS // lm.vocab_size))
    for batch in length_batches(lengths, list(range(len(texts))), limit):
        ids, positions = right_padded([texts[i] for i in batch], lm.pad_id)
        ids, positions = ids.to(lm.device), positions.to(lm.device)
        ends = torch.tensor([[lengths[i]] for i in batch]).to(ids)
        valid = torch.arange(1, ids.shape[1], device=ids.device) < ends
        clean = _log_probabilities(lm, ids, positions, site, None)
        spliced = _log_probabilities(lm, ids, positions, site, reconstruct)
        ablated = _log_probabilities(lm, ids, positions, site, ablate)
        divergence = (clean.exp() * (clean - spliced)).sum(-1)
        loss = [-each.gather(-1, ids[:, 1:, None]).squeeze(-1) for each in (clean, spliced, ablated)]
        for row, part in enumerate((valid.to(divergence), *loss, divergence)):
            sums[row, batch] = (part * valid).sum(1, dtype=torch.float64).cpu().numpy()
    return Spliced(*sums)


def _log_probabilities(
    lm: LanguageModel, ids: Tensor, positions: Tensor, site: Site, change: Callable[[Tensor], Tensor] | None
) -> Tensor:
    """(b, t - 1, vocabulary) of each next token."""

    def edit(hidden: Tensor) -> Tensor | None:
        if change is None:
            return None
        later = hidden[:, 1:]
        changed = change(later.reshape(-1, later.shape[-1])).reshape(later.shape)
        return torch.cat([hidden[:, :1], changed], 1)

    with residual_hook(lm.model, site, edit):
        logits: Tensor = lm.model(input_ids=ids, position_ids=positions, use_cache=False).logits
    return logits[:, :-1].float().log_softmax(-1)
