"""Tokens that are bound or made by another, uploads of bound ones, attempts. Before deploy.

On the way back tokens that are bound are revoked: the release before would let them read everything
of their user, and those of an adapter write it as well.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.utils import timezone


def revoke_bound(apps, _editor):
    tokens = apps.get_model('registry', 'AccessToken').objects
    bound = tokens.exclude(adapter=None, namespace=None)
    bound.filter(revoked_at=None).update(revoked_at=timezone.now())


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0011_the_hub_itself'),
    ]

    operations = [
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('key', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('count', models.PositiveIntegerField()),
                ('until', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='adapter',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='access_tokens', to='registry.adapter'),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='parent',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='children', to='registry.accesstoken'),
        ),
        migrations.AddField(
            model_name='upload',
            name='token',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='uploads', to='registry.accesstoken'),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.CheckConstraint(condition=models.Q(('namespace', None), ('adapter', None), _connector='OR'), name='token_bound_once'),
        ),
        migrations.RunPython(migrations.RunPython.noop, revoke_bound),
    ]
