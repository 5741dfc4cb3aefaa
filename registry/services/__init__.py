"""Every write of the catalogue: keyword-only, actor first, one transaction, events, jobs."""
