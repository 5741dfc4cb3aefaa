"""Rows of made-up adapters, for tests and benchmarks (``manage.py generate``)."""
