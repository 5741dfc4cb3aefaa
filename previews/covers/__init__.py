"""Covers of adapters: which picture is one, its owner's choice, and the drawing without any."""
