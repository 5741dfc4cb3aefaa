"""Algebra of adapters on their factors: resize, merge, compare, measure, rewrite and extract.

It needs numpy and ml_dtypes (`pip install 'lorary[algebra]'`), which are imported at the first use.
"""
