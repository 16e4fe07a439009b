"""From weights in training to a dictionary in residual-stream units, with its threshold calibrated.

Training sees rows times a scale per channel; here the scale goes into the weights. Decoder rows have length 1
afterwards, so that an activation is a length in the residual stream. A batch-top-k has no batch at inference: one
threshold takes its place, the one at which k latents are active on average over calibration rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from multidir.errors import DesignError
from multidir.sae.dictionary import Activation, Dictionary, pieces
from multidir.sae.learner import Learner

ACTIVATIONS: dict[str, Activation] = {"topk": "topk", "standard": "standard"}
"""How an architecture is run at inference; by thresholds unless it stands here."""


def as_trained(learner: Learner, facts: dict[str, Any]) -> Dictionary:
    """A dictionary that reads scaled rows, its thresholds not yet calibrated."""
    weights, spec = learner.weights, learner.spec
    activation = ACTIVATIONS.get(spec.architecture, "jumprelu")
    own = torch.zeros_like(weights.enc_bias) if weights.threshold is None else weights.threshold
    return Dictionary(
        activation=activation,
        enc=weights.enc.detach().float().T,
        enc_bias=weights.enc_bias.detach().float(),
        dec=weights.dec.detach().float(),
        dec_bias=weights.dec_bias.detach().float(),
        threshold=own.detach().float() if activation == "jumprelu" else None,
        k=spec.k if activation == "topk" else None,
        facts=facts,
    )


@torch.no_grad()
def finished(trained: Dictionary, scale: Tensor, rows: Tensor, k: float) -> Dictionary:
    """Calibrate thresholds, put the scale into the weights, and bring decoder rows to length 1.

    Args:
        trained: reads scaled rows.
        scale: (d,) what rows were multiplied by; the same number everywhere for a topk dictionary.
        rows: (n, d) float. Calibration rows as they are stored.
        k: mean number of active latents wanted.

    Raises:
        DesignError: no calibration row, or a topk dictionary with channels scaled differently.
    """
    if trained.activation == "topk" and float(scale.max() / scale.min()) > 1 + 1e-6:
        raise DesignError("a topk dictionary selects by activations in one unit, so its channels share one scale")
    scale = scale.to(trained.enc)
    if trained.activation == "jumprelu":
        trained = _folded(trained, torch.ones_like(scale))  # one shift for all thresholds wants them in one unit
        trained = calibrated(trained, rows.to(trained.enc) * scale, k)
    return _folded(trained, scale)


def _folded(dictionary: Dictionary, scale: Tensor) -> Dictionary:
    """The same for rows that are not multiplied by the scale yet, with decoder rows of length 1."""
    scale, threshold = scale.double(), dictionary.threshold
    dec = dictionary.dec.double() / scale
    lengths = dec.norm(dim=1)
    return replace(
        dictionary,
        enc=_stored(dictionary.enc.double() * scale[:, None] * lengths),
        enc_bias=_stored(dictionary.enc_bias.double() * lengths),
        dec=_stored(dec / lengths[:, None]),
        dec_bias=_stored(dictionary.dec_bias.double() / scale),
        threshold=None if threshold is None else _stored(threshold.double() * lengths),
    )


def _stored(values: Tensor) -> Tensor:
    return values.float().contiguous()


@torch.no_grad()
def calibrated(dictionary: Dictionary, rows: Tensor, k: float) -> Dictionary:
    """Shift all thresholds by one number, so that k latents are active per row on average over the rows.

    Exact, not by a moving average: the number is the (k n)-th largest distance of a positive pre-activation
    from its threshold. With fewer positive pre-activations than that, thresholds are zero.

    Args:
        dictionary: of the jumprelu kind.
        rows: (n, d) float.
        k: mean number of active latents wanted.

    Raises:
        DesignError: no rows.
    """
    if dictionary.threshold is None or not len(rows):
        raise DesignError("a threshold is calibrated for a jumprelu dictionary, on at least one row")
    count = round(k * len(rows))
    best = rows.new_empty(0)
    for part in pieces(len(rows), dictionary.width):
        pre = dictionary.pre(rows[part])
        above = (pre - dictionary.threshold)[pre > 0]
        if len(best) > count:
            above = above[above >= best.min()]
        best = torch.cat([best, above])
        if len(best) > count + 1:
            best = torch.topk(best, count + 1, sorted=False).values
    if len(best) <= count:
        return replace(dictionary, threshold=torch.zeros_like(dictionary.threshold))
    # halfway between the last value kept and the first one left out, so that rounding moves neither across
    shift = torch.topk(best, 2, largest=False).values.double().mean().float()
    return replace(dictionary, threshold=(dictionary.threshold + shift).clamp_min(0.0))
