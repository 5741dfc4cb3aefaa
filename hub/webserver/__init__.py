"""The web server: gunicorn's worker with patience for slow clients."""
