"""Finding versions on a hub: by hashes of files, by their names, by the values of weights."""
