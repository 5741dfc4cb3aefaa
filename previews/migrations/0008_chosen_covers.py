"""Chosen covers. Before deploy: adds a table."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('previews', '0007_thumbnails_without_rows'),
        ('registry', '0024_indexes_of_jobs'),
    ]

    operations = [
        migrations.CreateModel(
            name='Cover',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('adapter', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='chosen_cover', to='registry.adapter')),
                ('image', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='previews.image')),
                ('sample', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='previews.sample')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('image__isnull', False), ('sample__isnull', True)), models.Q(('image__isnull', True), ('sample__isnull', False)), _connector='OR'), name='cover_is_one_picture')],
            },
        ),
    ]
