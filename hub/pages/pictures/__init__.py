"""Pages and parts of pages with previews, galleries and try-outs."""
