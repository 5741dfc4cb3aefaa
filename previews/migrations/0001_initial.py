"""Tables of recipes, renders and images. Before deploy."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('registry', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Recipe',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('document', models.JSONField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('digest__regex', '^[0-9a-f]{64}$')), name='recipe_digest_is_hex')],
            },
        ),
        migrations.CreateModel(
            name='Render',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('ready', 'Ready'), ('waiting', 'Waiting'), ('failed', 'Failed')], default='queued', max_length=16)),
                ('reason', models.TextField(blank=True)),
                ('trigger_words', models.JSONField(blank=True, default=list)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('job', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='renders', to='registry.job')),
                ('recipe', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='renders', to='previews.recipe')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='renders', to='registry.version')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='Image',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField()),
                ('prompt_index', models.PositiveSmallIntegerField()),
                ('prompt', models.TextField()),
                ('seed', models.PositiveBigIntegerField()),
                ('strength', models.FloatField()),
                ('width', models.PositiveIntegerField()),
                ('height', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('blob', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='preview_images', to='registry.blob')),
                ('render', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='images', to='previews.render')),
            ],
            options={
                'ordering': ['position'],
            },
        ),
        migrations.AddConstraint(
            model_name='render',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['queued', 'running', 'waiting'])), fields=('version',), name='render_one_open_per_version'),
        ),
        migrations.AddConstraint(
            model_name='render',
            constraint=models.CheckConstraint(condition=models.Q(('recipe__isnull', False), ('state__in', ['waiting', 'failed']), _connector='OR'), name='render_has_a_recipe'),
        ),
        migrations.AddConstraint(
            model_name='render',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['waiting', 'failed']), _negated=True), models.Q(('reason', ''), _negated=True), _connector='OR'), name='render_says_why'),
        ),
        migrations.AddConstraint(
            model_name='image',
            constraint=models.UniqueConstraint(fields=('render', 'prompt_index', 'seed', 'strength'), name='image_once'),
        ),
        migrations.AddConstraint(
            model_name='image',
            constraint=models.UniqueConstraint(fields=('render', 'position'), name='image_position_once'),
        ),
        migrations.AddConstraint(
            model_name='image',
            constraint=models.CheckConstraint(condition=models.Q(('height__gt', 0), ('width__gt', 0)), name='image_has_a_size'),
        ),
    ]
