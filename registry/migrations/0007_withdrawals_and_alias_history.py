"""Versions and adapters are withdrawn; aliases keep where they pointed. Before deploy: adds columns."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0006_fill_blob_hashes'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='aliasmove',
            options={'ordering': ['-id']},
        ),
        migrations.AddField(
            model_name='adapter',
            name='withdrawn_reason',
            field=models.CharField(blank=True, db_default='', default='', max_length=280),
        ),
        migrations.AddField(
            model_name='aliasmove',
            name='before',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='registry.revision'),
        ),
        migrations.AddField(
            model_name='version',
            name='is_takedown',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='version',
            name='withdrawn_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='version',
            name='withdrawn_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='alias',
            name='revision',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='aliases', to='registry.revision'),
        ),
        migrations.AlterField(
            model_name='aliasmove',
            name='revision',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='registry.revision'),
        ),
        migrations.AddConstraint(
            model_name='version',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'withdrawn'), _negated=True), models.Q(('withdrawn_reason', ''), _negated=True), _connector='OR'), name='version_says_why_withdrawn'),
        ),
    ]
