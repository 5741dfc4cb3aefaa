"""Names of tensors: spellings of keys, algorithms, and the kind of a file."""
