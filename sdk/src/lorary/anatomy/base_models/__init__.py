"""Finds the base models that the tensors of a file allow."""
