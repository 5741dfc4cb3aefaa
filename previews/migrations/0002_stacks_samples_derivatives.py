"""Stacks, prompt sets, shared controls, people's pictures, derivatives. Before deploy: adds tables."""

import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('previews', '0001_initial'),
        ('registry', '0003_workers_and_turns'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Control',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=64, unique=True)),
                ('width', models.PositiveIntegerField()),
                ('height', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Derivative',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('avif', 'AVIF'), ('webp', 'WebP')], max_length=8)),
                ('width', models.PositiveIntegerField()),
                ('height', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['kind', 'width'],
            },
        ),
        migrations.CreateModel(
            name='Layer',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField()),
                ('strength', models.FloatField(default=1.0)),
            ],
            options={
                'ordering': ['position'],
            },
        ),
        migrations.CreateModel(
            name='PromptSet',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('prompts', models.JSONField(blank=True, default=list)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['-number'],
            },
        ),
        migrations.CreateModel(
            name='Sample',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('picture', 'Picture'), ('video', 'Video')], default='picture', max_length=16)),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('ready', 'Ready'), ('refused', 'Refused')], default='queued', max_length=16)),
                ('reason', models.TextField(blank=True)),
                ('width', models.PositiveIntegerField(default=0)),
                ('height', models.PositiveIntegerField(default=0)),
                ('caption', models.CharField(blank=True, max_length=280)),
                ('facts', models.JSONField(blank=True, default=dict)),
                ('placeholder', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='Sheet',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('png', 'Contact sheet, PNG'), ('pdf', 'Contact sheet, PDF'), ('card', 'Card for links')], max_length=8)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Tryout',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('is_shared', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField(db_index=True)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.AddField(
            model_name='image',
            name='animation',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='preview_animations', to='registry.blob'),
        ),
        migrations.AddField(
            model_name='image',
            name='placeholder',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='render',
            name='advice',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='render',
            name='kind',
            field=models.CharField(choices=[('preview', 'Preview'), ('tryout', 'Try-out')], default='preview', max_length=16),
        ),
        migrations.AlterField(
            model_name='render',
            name='version',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='renders', to='registry.version'),
        ),
        migrations.AddConstraint(
            model_name='render',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'preview'), ('version__isnull', False)), models.Q(('kind', 'tryout'), ('version__isnull', True)), _connector='OR'), name='render_preview_is_of_a_version'),
        ),
        migrations.AddField(
            model_name='control',
            name='animation',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='control_animations', to='registry.blob'),
        ),
        migrations.AddField(
            model_name='control',
            name='blob',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='preview_controls', to='registry.blob'),
        ),
        migrations.AddField(
            model_name='derivative',
            name='blob',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='derived', to='registry.blob'),
        ),
        migrations.AddField(
            model_name='derivative',
            name='source',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='derivatives', to='registry.blob'),
        ),
        migrations.AddField(
            model_name='layer',
            name='render',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='layers', to='previews.render'),
        ),
        migrations.AddField(
            model_name='layer',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='layers', to='registry.version'),
        ),
        migrations.AddField(
            model_name='promptset',
            name='adapter',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='prompt_sets', to='registry.adapter'),
        ),
        migrations.AddField(
            model_name='promptset',
            name='author',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='sample',
            name='author',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='samples', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='sample',
            name='blob',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='samples', to='registry.blob'),
        ),
        migrations.AddField(
            model_name='sample',
            name='job',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='registry.job'),
        ),
        migrations.AddField(
            model_name='sample',
            name='poster',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='sample_posters', to='registry.blob'),
        ),
        migrations.AddField(
            model_name='sample',
            name='source',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='sample_sources', to='registry.blob'),
        ),
        migrations.AddField(
            model_name='sample',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='samples', to='registry.version'),
        ),
        migrations.AddField(
            model_name='sheet',
            name='blob',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='preview_sheets', to='registry.blob'),
        ),
        migrations.AddField(
            model_name='sheet',
            name='render',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sheets', to='previews.render'),
        ),
        migrations.AddField(
            model_name='tryout',
            name='render',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='tryout', to='previews.render'),
        ),
        migrations.AddField(
            model_name='tryout',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tryouts', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='control',
            constraint=models.CheckConstraint(condition=models.Q(('key__regex', '^[0-9a-f]{64}$')), name='control_key_is_hex'),
        ),
        migrations.AddConstraint(
            model_name='derivative',
            constraint=models.UniqueConstraint(fields=('source', 'kind', 'width'), name='derivative_once'),
        ),
        migrations.AddConstraint(
            model_name='derivative',
            constraint=models.CheckConstraint(condition=models.Q(('height__gt', 0), ('width__gt', 0)), name='derivative_has_a_size'),
        ),
        migrations.AddConstraint(
            model_name='layer',
            constraint=models.UniqueConstraint(fields=('render', 'position'), name='layer_position_once'),
        ),
        migrations.AddConstraint(
            model_name='layer',
            constraint=models.UniqueConstraint(fields=('render', 'version'), name='layer_version_once'),
        ),
        migrations.AddConstraint(
            model_name='layer',
            constraint=models.CheckConstraint(condition=models.Q(('strength__gte', -2.0), ('strength__lte', 2.0)), name='layer_strength_in_range'),
        ),
        migrations.AddConstraint(
            model_name='promptset',
            constraint=models.UniqueConstraint(fields=('adapter', 'number'), name='prompt_set_number_once'),
        ),
        migrations.AddConstraint(
            model_name='promptset',
            constraint=models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='prompt_set_from_one'),
        ),
        migrations.AddConstraint(
            model_name='sample',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'ready'), _negated=True), models.Q(('blob__isnull', False), ('height__gt', 0), ('width__gt', 0)), _connector='OR'), name='sample_shown_has_bytes'),
        ),
        migrations.AddConstraint(
            model_name='sample',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'refused'), _negated=True), models.Q(('reason', ''), _negated=True), _connector='OR'), name='sample_says_why'),
        ),
        migrations.AddConstraint(
            model_name='sheet',
            constraint=models.UniqueConstraint(fields=('render', 'kind'), name='sheet_once'),
        ),
    ]
