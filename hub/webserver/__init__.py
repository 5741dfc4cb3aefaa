"""The web server: a gunicorn worker with limits for slow clients."""
