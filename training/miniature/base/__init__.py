"""Trains the base: UNet, text encoder and decoder, and exports them as one pipeline."""
