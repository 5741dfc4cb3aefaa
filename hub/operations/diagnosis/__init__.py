"""Probes of ``manage.py doctor`` by subject; each module has ``PROBES``, in their order."""
