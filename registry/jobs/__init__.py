"""Background work: the queue, its workers, and how Celery is used."""
