"""Background work: the queue of record, its workers, and Celery's part in it."""
