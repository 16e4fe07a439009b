"""The exceptions a user can meet, each one sentence and each a kind of the builtin it refines."""

from __future__ import annotations


class MultidirError(Exception):
    """Anything multidir refuses; the command line prints it without a traceback and exits 1."""


class ConfigError(MultidirError, ValueError):
    """A setting is unknown, contradicts another one, or cannot work on this model or machine."""


class FormatError(MultidirError, ValueError):
    """A file is not what it claims to be: broken, truncated, of another version, or incomplete."""


class AlignmentError(MultidirError, ValueError):
    """Text, tokens, sentences or activations that should describe the same thing do not line up."""


class ModelError(MultidirError, RuntimeError):
    """A model cannot be loaded, or does not have the parts that were asked for."""


class DesignError(MultidirError, ValueError):
    """The data cannot answer the question: an empty class, a missing cell, too few prompts."""


class JudgeError(MultidirError, RuntimeError):
    """A model behind an API cannot be asked, or gave no usable answer."""


class MissingExtra(MultidirError, ImportError):
    """An optional package is needed; the message names the extra to install."""
