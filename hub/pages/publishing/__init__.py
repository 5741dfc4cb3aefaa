"""Pages for publishing: files, uploads, the form."""
