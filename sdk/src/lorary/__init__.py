"""Lorary: one catalogue of LoRA adapters."""
