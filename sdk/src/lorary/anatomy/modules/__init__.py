"""The adapted modules of a file: ranks, alphas, shapes and structure."""
