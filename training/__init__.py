"""Training code of models that the hub ships. It is not installed with the hub."""
