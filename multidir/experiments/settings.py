"""Groups of settings that several recipes share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from multidir.annotate.text_measures import CoherenceGate
from multidir.errors import ConfigError
from multidir.linalg.contrast import MeanRule, Reference
from multidir.methods.window_rules import Skip
from multidir.records.stopping import LoopRule
from multidir.sae.spec import Architecture, Training
from multidir.types import Role


@dataclass(frozen=True)
class Means:
    """How a difference of means is taken."""

    mean: MeanRule = "token"
    """`token`: all rows weigh alike (the paper's code). `trace`: mean of per-trace means (Eq. 3)."""
    reference: Reference = "all"
    """`all`: minus the mean over all labelled sentences, positives included (Eq. 3). `rest`: positives left out."""
    skip: Skip = "whole"
    """Windows that leave the text. `whole`: left out. `code`: cut at the end of the trace, and position 0 may enter, as
    in the paper's code. `reply`: those that reach into the prompt are left out too."""


@dataclass(frozen=True)
class Lens:
    """How a direction is read through an unembedding."""

    rule: Literal["mean", "top"] = "mean"
    """`mean`: mean logit over all tokens with one of the words (Eq. 2). `top`: sum of those among the top k logits (the
    paper's code)."""
    words: tuple[str, ...] = ("wait", "but")
    """A token counts when its text contains one of these, in any case."""
    top_k: int = 15
    """How many of the largest logits the rule `top` looks at."""
    final_norm: bool = False
    """Pass the final norm before the unembedding. The paper does not."""

    def __post_init__(self) -> None:
        """Refuse a lens that sees nothing."""
        if not self.words or self.top_k < 1:
            raise ConfigError(f"--words are {self.words} and --top-k {self.top_k}; give a word, and at least 1")


@dataclass(frozen=True)
class Scoring:
    """How a generated text is scored."""

    annotator: str = "lexical"
    """Who labels its sentences: `lexical` or `grammar`."""
    keywords: tuple[str, ...] = ("wait", "hmm")
    """Words of the keyword share (arXiv 2507.12638, Eq. 1), any case, whole words."""
    count_prompt: bool = False
    """Whether the prompt's words and keywords enter the share that counts inside words, as in the paper's code."""
    repeat_cap: int = 1
    """How often a keyword between the same two neighbouring words enters the repeat-capped count."""
    min_coherent: float = 0.8
    """A cell counts as coherent when at least this share of its texts passes the gate."""
    gate: CoherenceGate = field(default_factory=CoherenceGate)
    """When a single text is coherent."""
    loops: LoopRule = field(default_factory=LoopRule)
    """When a text is cut off because it repeats itself; it is not coherent then."""


@dataclass(frozen=True)
class DictionaryChoice:
    """Which dictionaries are trained, and how."""

    site: tuple[str, ...] = ("L10.resid_post",)
    """Where."""
    model: tuple[Role, ...] = ("reasoning",)
    """Whose activations."""
    arch: tuple[Architecture, ...] = ("batchtopk",)
    """How latents are chosen."""
    width: tuple[int, ...] = (4096,)
    """Latents."""
    k: tuple[int, ...] = (32,)
    """Active latents per token; `standard` has no such number and is trained once, under the first one's name."""
    seed: tuple[int, ...] = (0,)
    """Seeds of the initial weights."""
    training: Training = field(default_factory=lambda: Training(steps=2000, batch=4096, warmup=100))
    """How all of them learn."""
    held_out: float = 0.1
    """Share of the prompts that is held out."""
    split_by: Literal["prompt", "trace"] = "prompt"
    """What is held out as a whole."""
    order_seed: int = 0
    """Seed of the order of rows and of what is held out."""
    backend: Literal["multidir", "sae_lens"] = "multidir"
    """`sae_lens`: the same rows through SAELens' own trainer, as a reference; it neither resumes nor draws curves."""


@dataclass(frozen=True)
class Probes:
    """What probes learn, where, and how they are tried."""

    label: str = "backtracking"
    """The sentence that comes next."""
    annotator: str = ""
    """Whose labels; empty where the store has those of one annotator only."""
    category: str = ""
    """Only prompts of this category; empty: all."""
    site: str = "L10"
    """Where the table of kinds, baselines and controls is measured."""
    offset: int = -1
    """Token at which it is, counted from the sentence's first token (0)."""
    sites: tuple[str, ...] = ()
    """Sites of the grid; none given: all of the store."""
    offsets: tuple[int, ...] = tuple(range(-20, 1))
    """Offsets of the grid. All sentences have the tokens from the first to the last of them."""
    folds: int = 5
    """Parts into which prompts are split; every pair of parts is held out once, to tune on."""
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """C of logistic probes with L2, on standardised channels; larger is weaker."""
    lasso_penalties: tuple[float, ...] = (1e-2, 1e-1)
    """C of logistic probes with L1."""
    shrinkages: tuple[float, ...] = (0.03, 0.1, 0.3, 0.9)
    """Shrinkages of the covariance of LDA."""
    ks: tuple[int, ...] = (1, 4, 16, 64)
    """Latents of k-sparse probes."""
    sparse_penalty: float = 0.1
    """C of the probes on the chosen latents."""
    pool: int = 8
    """Tokens of the window that pooled probes look at, and that are split in the control for leaks."""
    pool_ridges: tuple[float, ...] = (3e-2, 1.0)
    """Ridges of pooled probes: how dear it is to depart from a linear probe of the last token."""
    shuffles: int = 3
    """How often labels are shuffled within traces."""
    false_alarms: tuple[float, ...] = (0.01, 0.05, 0.1)
    """Shares of other sentences that may give an alarm."""
    grid_draws: int = 300
    """Bootstrap resamples of prompts for the grid."""
    rule: str = ""
    """Rule of the tiny pair that permits a ceiling; only for its own traces."""

    def __post_init__(self) -> None:
        """Refuse settings that no probe can be fitted with."""
        lists = ("penalties", "lasso_penalties", "shrinkages", "ks", "pool_ridges", "offsets", "false_alarms")
        if empty := [name for name in lists if not getattr(self, name)]:
            raise ConfigError(f"--{' --'.join(name.replace('_', '-') for name in empty)} need a value at least")
        numbers = (*self.penalties, *self.lasso_penalties, self.sparse_penalty, *self.pool_ridges)
        if min(numbers) <= 0 or min(self.ks) < 1 or self.folds < 3 or self.shuffles < 1:
            raise ConfigError(
                f"--penalties {self.penalties}, --lasso-penalties {self.lasso_penalties} and --pool-ridges "
                f"{self.pool_ridges} are above 0, --ks {self.ks} and --shuffles {self.shuffles} at least 1, and "
                f"--folds {self.folds} at least 3"
            )
        if min(self.offsets) >= 0 or not all(0 < rate < 1 for rate in self.false_alarms):
            raise ConfigError(
                "what is known early takes an offset before the sentence and rates of false alarms between 0 and 1; "
                f"got --offsets {self.offsets} and --false-alarms {self.false_alarms}"
            )


@dataclass(frozen=True)
class CandidateChoice:
    """Where candidates are sought, how, and how they are measured."""

    site: str = "L10"
    """Where."""
    label: str = "backtracking"
    """The behaviour."""
    annotator: str = ""
    """Whose labels; empty where the store has those of one annotator only."""
    windows: tuple[str, ...] = ("-13:-8",)
    """Token offsets before a sentence. Differences of means are taken in all; candidates are read, and probes and axes
    found, in the first."""
    words: tuple[str, ...] = ("wait", "hmm")
    """Words whose log-odds are the effect: single tokens, in any case."""
    penalty: float = 0.01
    """C of the logistic probe (standardised channels)."""
    principal: int = 6
    """Principal axes of the rows before the behaviour."""
    independent: int = 32
    """Independent axes of all rows before sentences."""
    latents: int = 5
    """Latents of each dictionary from either end of every ranking."""
    alike: float = 0.8
    """Cosine, or correlation of readings, from which two candidates are one."""
    measured: int = 24
    """Groups that are measured, by adding their most typical member and by taking it out; the most promising ones."""
    controls: int = 5
    """Directions of each kind of control."""
    dose: float = 0.15
    """At which all are added, relative to the mean residual norm."""
    texts: int = 24
    """Texts in which effects are measured: those with the behaviour most often."""
    steps: int = 8
    """Points on the way from the mean row, for integrated gradients."""
    causes: bool = False
    """Compare with the planted causes of the tiny pair; other models have none that are known."""
    seed: int = 0
    """Of halves, starting points and controls."""

    def __post_init__(self) -> None:
        """Refuse settings under which nothing is found or measured."""
        if min(self.measured, self.texts, self.principal, self.independent) < 1 or self.controls < 0 or self.steps < 0:
            raise ConfigError(
                "candidates need --measured, --texts, --principal and --independent of at least 1, and --controls and "
                f"--steps that are not negative; got {self.measured}, {self.texts}, {self.principal}, "
                f"{self.independent}, {self.controls} and {self.steps}"
            )
        if not 0 < self.alike <= 1 or self.dose <= 0 or not self.windows:
            raise ConfigError(f"--alike {self.alike} is in (0, 1], --dose {self.dose} above 0, and a window is needed")


ARMS = ("project", "mean", "span", "leace", "inlp", "gated", "latents")
"""Ways of taking directions out: projected out, held at the mean, the span of the first ones held, LEACE, a ladder of
probes, the span held where a probe points, latents switched off."""


@dataclass(frozen=True)
class AblationChoice:
    """What is taken out, how, and how it is measured."""

    names: tuple[str, ...] = ()
    """Directions under study; none given: the first ones that are no controls."""
    first: int = 3
    """How many of them."""
    label: str = "backtracking"
    """The behaviour."""
    store_annotator: str = ""
    """Whose labels of the store; empty where it has those of one annotator only."""
    fit_window: str = "-13:-8"
    """Token offsets before a sentence on which erasers and probes are fitted."""
    words: tuple[str, ...] = ("wait", "hmm")
    """Words whose log-odds are the effect: single tokens, in any case."""
    penalty: float = 0.01
    """C of logistic probes (standardised channels)."""
    inlp: tuple[int, ...] = (1, 2, 4, 8)
    """Rungs of the ladder of probes that are taken out."""
    gate_share: float = 0.2
    """Share of the tokens at which the gated arm edits: those with the highest probe scores."""
    shares: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    """How much of an erasure is done, for the curve of effect against damage; 1 is needed."""
    texts: int = 24
    """Texts already written in which effects are measured: those with the behaviour most often."""
    steps: int = 8
    """Points on the way from the mean row, for integrated gradients."""
    n_random: int = 20
    """Random ablations of each kind: random directions taken out alike, and others at the same norm at every token."""
    folds: int = 5
    """Of fresh probes, by trace."""
    generated: tuple[str, ...] = ("mean", "span", "leace", "gated", "latents")
    """Kinds of arms under which the model writes freely."""
    split: str = "confirm"
    """Problems for free generation."""
    rollouts: int = 1
    """Texts per problem and arm."""
    null_prompts: int = 40
    """Problems on which each random ablation is run, others for others; together they see all."""
    max_new_tokens: int = 300
    """Length limit of a text."""
    scoring: Scoring = field(default_factory=Scoring)
    """How texts are scored."""
    draws: int = 1000
    """Bootstrap resamples of prompts and traces."""
    causes: bool = False
    """Also read the planted causes and check answers; for the tiny pair, whose texts can be read exactly."""
    seed: int = 0
    """Of texts, random ablations, folds and resampling."""

    def __post_init__(self) -> None:
        """Refuse settings that measure nothing."""
        if min(self.first, self.texts, self.folds - 2, self.rollouts) < 1 or min(self.n_random, self.null_prompts) < 0:
            raise ConfigError(
                "an ablation study needs --first, --texts and --rollouts of at least 1, --folds of at least 3, and "
                f"--n-random and --null-prompts that are not negative; got {self.first}, {self.texts}, "
                f"{self.rollouts}, {self.folds}, {self.n_random} and {self.null_prompts}"
            )
        if self.n_random == 1:
            raise ConfigError("--n-random 1 does not tell how far random ablations differ; take 20, or 0 for none")
        if 1.0 not in self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ConfigError(f"--shares are in (0, 1] and hold 1, got {self.shares}")
        if unknown := sorted(set(self.generated) - set(ARMS)):
            raise ConfigError(f"--generated {' '.join(unknown)} is no way of taking out; there are {', '.join(ARMS)}")
        if not 0 < self.gate_share < 1 or any(k < 1 for k in self.inlp):
            raise ConfigError(f"--gate-share {self.gate_share} is in (0, 1), and --inlp {self.inlp} counts from 1")
