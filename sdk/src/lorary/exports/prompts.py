"""Texts in the prompt syntax of a tool, in which everything stays literal."""

from __future__ import annotations


def escaped(text: str, characters: str) -> str:
    r"""Return a text with ``\`` before each of some characters."""
    return "".join(f"\\{one}" if one in characters else one for one in text)


def without_tags(text: str) -> str:
    """Return a text without ``<`` and ``>``, which begin tags and cannot be escaped."""
    return text.replace("<", " ").replace(">", " ")


def comfyui(text: str) -> str:
    """Return a text for ComfyUI, where parentheses weigh words."""
    return escaped(text, "()")


def webui(text: str) -> str:
    """Return a text for A1111 and Forge: parentheses, brackets, and tags such as ``<lora:…>``."""
    return escaped(without_tags(text), "()[]")


def invokeai(text: str) -> str:
    """Return a text for InvokeAI's prompt parser: parentheses weigh words, quotes blend."""
    return escaped(text, '()"')


def swarmui(text: str) -> str:
    """Return a text for SwarmUI: parentheses, tags, and ``{value}`` for what the user typed."""
    return escaped(without_tags(text), "()").replace("{value}", "{ value }")


def strength(value: float) -> str:
    """Return a strength as prompts and settings have it: ``0.8``."""
    return f"{value:.4f}".rstrip("0").rstrip(".")
