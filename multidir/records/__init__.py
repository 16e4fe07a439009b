"""The nouns of the project: frozen dataclasses, validated at birth, without input or output."""
