"""Whether a person wants to see pictures of mature adapters. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0015_wide_ids_of_downloads'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='shows_mature',
            field=models.BooleanField(db_default=False, default=False, verbose_name='shows mature pictures'),
        ),
    ]
