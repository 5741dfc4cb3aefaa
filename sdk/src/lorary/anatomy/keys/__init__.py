"""Splits tensor names: conventions, algorithms, layers, and the kind of a file."""
