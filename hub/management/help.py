"""Help texts of commands with a paragraph of their own below the options."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter

from django.core.management.base import DjangoHelpFormatter

__all__ = ["Help"]


class Help(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Keeps line breaks of description and epilogue; Django's own options come last."""
