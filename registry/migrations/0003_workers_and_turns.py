"""Workers announce themselves, and jobs take turns. Before deploy: adds a table and columns."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0002_version_anatomy'),
    ]

    operations = [
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120, unique=True)),
                ('queues', models.JSONField(default=list)),
                ('facts', models.JSONField(blank=True, default=dict)),
                ('wish', models.CharField(choices=[('work', 'Work'), ('pause', 'Pause'), ('drain', 'End after this job')], default='work', max_length=8)),
                ('jobs_done', models.PositiveIntegerField(default=0)),
                ('started_at', models.DateTimeField(auto_now_add=True)),
                ('seen_at', models.DateTimeField(db_index=True)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_claim_order',
        ),
        migrations.AddField(
            model_name='job',
            name='owner',
            field=models.CharField(blank=True, max_length=96),
        ),
        migrations.AddField(
            model_name='job',
            name='turn',
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['queue', 'state', '-priority', 'turn', 'id'], name='job_claim_order'),
        ),
    ]
