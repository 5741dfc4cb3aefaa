"""The adapted modules of a file: their ranks, alphas, shapes and structure."""
