"""A table for cards as HTML; rows are made when cards are saved or viewed. Before deploy."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0012_bound_tokens_and_attempts'),
    ]

    operations = [
        migrations.CreateModel(
            name='CardHtml',
            fields=[
                ('adapter', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='registry.adapter')),
                ('renderer', models.PositiveSmallIntegerField()),
                ('sha256', models.CharField(max_length=64)),
                ('html', models.TextField(blank=True)),
                ('problem', models.CharField(blank=True, max_length=16)),
            ],
        ),
    ]
