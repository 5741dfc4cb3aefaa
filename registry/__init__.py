"""The catalogue: namespaces, adapters, revisions, versions, files, uploads and the job queue."""
