"""The command line: ``lorary COMMAND …``."""

from lorary.cli.app import main

__all__ = ["main"]
