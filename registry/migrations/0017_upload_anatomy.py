"""Where an upload keeps the anatomy of its header until its file is decided. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0016_shows_mature'),
    ]

    operations = [
        migrations.AddField(
            model_name='upload',
            name='anatomy',
            field=models.JSONField(blank=True, null=True),
        ),
    ]
