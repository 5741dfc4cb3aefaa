"""Indexes for keys, turns and the end of jobs. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0023_fill_algorithms"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["key", "state"], name="job_by_key"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["state", "priority", "turn"], name="job_by_state"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                fields=["owner", "state", "priority", "turn"], name="job_by_owner"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["finished_at"], name="job_by_end"),
        ),
    ]
