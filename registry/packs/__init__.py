"""Packs: ready-made looks made of adapter versions."""
