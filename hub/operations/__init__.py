"""Running a hub: processes, health, the doctor, backups."""
