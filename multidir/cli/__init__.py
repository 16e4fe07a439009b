"""The command line: recipes, artifacts and this machine; every heavy import waits until it is needed."""

from multidir.cli.main import main

__all__ = ["main"]
