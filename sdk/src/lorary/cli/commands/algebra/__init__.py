"""Commands that compute with the weights of adapters."""
