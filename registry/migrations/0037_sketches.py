"""Sketches of weights and their relations. Before deploy."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0036_known_checkpoints'),
    ]

    operations = [
        migrations.CreateModel(
            name='BlobSketch',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('form', models.PositiveSmallIntegerField()),
                ('vector', models.BinaryField(max_length=128)),
                ('dtype', models.CharField(blank=True, max_length=16)),
                ('naming', models.CharField(blank=True, max_length=64)),
                ('run', models.CharField(blank=True, max_length=64)),
                ('is_related', models.BooleanField(default=False)),
                ('blob', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='sketch', to='registry.blob')),
            ],
        ),
        migrations.CreateModel(
            name='WeightSketch',
            fields=[
                ('sketch', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='weights', serialize=False, to='registry.blobsketch')),
                ('data', models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name='BlobRelation',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('same_weights', 'Same weights'), ('number_format', 'Other number format'), ('renamed', 'Other key format'), ('strength', 'Other strength'), ('resized', 'Resized'), ('part', 'Part of the layers'), ('same_run', 'Same training run'), ('related', 'Similar weights')], max_length=16)),
                ('direction', models.CharField(blank=True, choices=[('from', 'made from the other'), ('to', 'the other was made from it')], max_length=4)),
                ('cosine', models.FloatField()),
                ('strength', models.FloatField()),
                ('blob', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='relations', to='registry.blob')),
                ('other', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='registry.blob')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('blob', 'other'), name='blob_relation_once'), models.CheckConstraint(condition=models.Q(('blob', models.F('other')), _negated=True), name='blob_relation_of_two')],
            },
        ),
        migrations.AddIndex(
            model_name='blobsketch',
            index=models.Index(condition=models.Q(('is_related', False)), fields=['id'], name='sketch_without_relations'),
        ),
    ]
