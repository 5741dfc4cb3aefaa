"""Background work: the queue, its workers, and the use of Celery."""
