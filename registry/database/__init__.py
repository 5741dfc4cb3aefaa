"""What concerns the database as a whole: triggers, counters, locks of tables, query plans."""
