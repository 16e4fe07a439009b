"""One dictionary in training: weights, optimiser, and the memory of when each latent last fired."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from multidir.errors import ConfigError
from multidir.sae.active import Active
from multidir.sae.architectures import SELECTIONS, STEPS
from multidir.sae.auxk import add_auxk
from multidir.sae.optimiser import Optimiser
from multidir.sae.parallel import Group
from multidir.sae.schedule import active_latents, rate, warm
from multidir.sae.select import largest_places
from multidir.sae.spec import BY_COUNT, DictionarySpec, Training
from multidir.sae.step import Work, finish_decoder_bias, reconstruct
from multidir.sae.weights import Weights, initial_weights

_START_L0 = 2
"""Multiple of k at which a jumprelu dictionary starts: dense enough to learn, sparse enough to be cheap."""

_START_LENGTH = 0.1
"""Length of free decoder rows at the start: they turn fast while they are short, and slower as they grow."""


@dataclass(frozen=True)
class Seen:
    """What one step showed; scalars stay on the device, so that nobody waits for them."""

    loss: Tensor
    fvu: Tensor
    """Unexplained share of this batch's variance."""
    l0: Tensor
    """Active latents per row."""


class Learner:
    """Trains one dictionary batch by batch; what it holds is all that a checkpoint needs."""

    def __init__(
        self,
        spec: DictionarySpec,
        training: Training,
        sample: Tensor,
        centre: Tensor,
        group: Group | None = None,
        compute: torch.dtype | None = None,
    ) -> None:
        """Make a dictionary in its initial state.

        Args:
            spec: what it is to be.
            training: how it learns.
            sample: (n, d) float. Normalised rows on the device where it is to learn, in its number format.
            centre: (d,) float. Where the decoder bias starts.
            group: processes that train it together.
            compute: number format of the encoder's product; that of the weights when none. Which latents are
                active is then decided in it, while their activations are computed again in full.
        """
        self.spec, self.training, self.group = spec, training, group or Group()
        self.weights: Weights = initial_weights(spec, centre, sample.device, sample.dtype)
        self.optimiser = Optimiser(self.weights, training.clip)
        self.compute = compute or sample.dtype
        self.idle = torch.zeros(spec.width, dtype=torch.int64, device=sample.device)
        self.steps = 0
        self._memory = sample.new_empty(0)
        sample = sample[: max(1, (1 << 24) // spec.width)]
        if self.weights.threshold is not None:
            self._set_threshold(sample)
        self._fit_length(sample)
        if spec.architecture in BY_COUNT:
            self.weights.dec.detach().mul_(_START_LENGTH)

    @torch.no_grad()
    def _fit_length(self, sample: Tensor) -> None:
        """Give all encoder rows the length at which the random dictionary reconstructs best.

        With length 1 the projections on many latents that are not orthogonal add up to more than the row.
        """
        found, _ = self.reconstruction(sample)
        decoded, target = found - self.weights.dec_bias, sample - self.weights.dec_bias
        best = (decoded * target).sum() / decoded.square().sum().clamp_min(1e-12)
        if best > 0:
            self.weights.enc *= best
            if self.weights.threshold is not None:
                self.weights.threshold *= best

    @torch.no_grad()
    def _set_threshold(self, sample: Tensor) -> None:
        """One threshold for all latents, at which a few times k of them are active."""
        pre = self._work(sample).pre
        count = min(_START_L0 * self.spec.k, self.spec.width // 2 or 1) * len(sample)
        threshold = self.weights.threshold
        if threshold is not None:
            threshold.fill_(pre.reshape(-1)[largest_places(pre, count)].min())

    @property
    def dead(self) -> Tensor:
        """(f,) bool: latents that have not fired for `dead_after` rows."""
        return self.idle >= self.training.dead_after

    @torch.no_grad()
    def step(self, x: Tensor) -> Seen:
        """Learn from one batch.

        Args:
            x: (b, d) normalised rows, on the device and in the number format of the weights.
        Raises:
            ConfigError: rows of another width.
        """
        dead = self.dead.nonzero().squeeze(1) if self.training.aux else self.idle[:0]
        if len(dead):
            self.weights.normalise(dead)
        work = self._work(x)
        self.weights.forget_gradients()
        found = STEPS[self.spec.architecture](work)
        loss = found.loss
        if len(dead):
            loss = loss + add_auxk(work, found.error, dead)
        finish_decoder_bias(self.weights)
        self.optimiser.step(rate(self.training, self.steps), self.group)
        fired = self.group.anywhere(found.fired)
        self.idle += len(x) * self.group.size
        self.idle[fired] = 0
        self.steps += 1
        spread = (x - x.mean(0)).square().sum()
        return Seen(loss, found.error.square().sum() / spread, found.count / len(x))

    @torch.no_grad()
    def reconstruction(self, x: Tensor) -> tuple[Tensor, Active]:
        """(b, d) reconstruction of normalised rows as in training, and which latents it took."""
        work = self._work(x)
        work.k = self.spec.k
        active = SELECTIONS[self.spec.architecture](work)
        return reconstruct(work, active).add_(x), active

    def _work(self, x: Tensor) -> Work:
        if x.ndim != 2 or x.shape[1] != self.spec.d:
            raise ConfigError(f"{self.spec.name} reads rows of width {self.spec.d}, got a batch {tuple(x.shape)}")
        weights = self.weights
        centred = x - weights.dec_bias
        k = self.spec.k
        if self.spec.architecture in BY_COUNT:
            k = active_latents(self.training, self.steps, k, self.spec.width)
        lengths = weights.lengths() if self.spec.architecture in BY_COUNT else None
        pre = self._encode(centred, lengths)
        ramp, rounded = warm(self.training, self.steps), self.compute != x.dtype
        return Work(weights, self.spec, self.training, x, centred, pre, k, ramp, len(x), rounded, lengths)

    def _encode(self, centred: Tensor, lengths: Tensor | None) -> Tensor:
        """(b, f) pre-activations; the same memory every time, because fresh pages cost a tenth of the product."""
        enc, bias, b = self.weights.enc, self.weights.enc_bias, len(centred)
        if lengths is not None:
            enc, bias = enc * lengths[:, None], bias * lengths
        if len(self._memory) < b:
            self._memory = centred.new_empty(b, self.spec.width)
        if self.compute != centred.dtype:
            low = [part.to(self.compute) for part in (centred, enc, bias)]
            return self._memory[:b].copy_(linear(*low))
        return torch.addmm(bias, centred, enc.T, out=self._memory[:b])

    def state(self) -> dict[str, Tensor]:
        """Everything that training goes on from."""
        return {**self.weights.named(), "idle": self.idle, **self.optimiser.state()}

    @torch.no_grad()
    def resume(self, state: dict[str, Tensor], steps: int) -> None:
        """Go on from what `state` gave after that many steps."""
        for name, value in self.weights.named().items():
            value.copy_(state[name])
        self.idle.copy_(state["idle"])
        self.optimiser.resume(state)
        self.steps = steps
