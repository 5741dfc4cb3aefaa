"""The log of changes as an audit log: origins, addresses, ids that outlive rows. Before deploy."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0042_disabled_accounts'),
    ]

    operations = [
        migrations.AlterField(
            model_name='event',
            name='id',
            field=models.BigAutoField(primary_key=True, serialize=False),
        ),
        migrations.CreateModel(
            name='EventAddress',
            fields=[
                ('event', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='origin', serialize=False, to='registry.event')),
                ('address', models.CharField(max_length=64)),
            ],
        ),
        migrations.AddField(
            model_name='event',
            name='request_id',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='event',
            name='source',
            field=models.CharField(blank=True, choices=[('request', 'request'), ('command', 'command'), ('worker', 'worker')], db_default='', default='', max_length=8),
        ),
        migrations.AddField(
            model_name='event',
            name='source_name',
            field=models.CharField(blank=True, db_default='', default='', max_length=120),
        ),
        migrations.AddField(
            model_name='event',
            name='token',
            field=models.IntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='event',
            name='user',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events_about', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='hub',
            name='audit_days',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name='event',
            name='actor',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='event',
            name='adapter',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='registry.adapter'),
        ),
        migrations.AlterField(
            model_name='event',
            name='created_at',
            field=models.DateTimeField(default=django.utils.timezone.now, editable=False),
        ),
        migrations.AlterField(
            model_name='event',
            name='pack',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='registry.pack'),
        ),
        migrations.AlterField(
            model_name='event',
            name='verb',
            field=models.CharField(max_length=48),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['pack', '-id'], name='event_by_pack'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['user', '-id'], name='event_by_user'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['actor', '-id'], name='event_by_actor'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['verb', '-id'], name='event_by_verb'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['subject', '-id'], name='event_by_subject'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['created_at'], name='event_by_time'),
        ),
        migrations.AddIndex(
            model_name='eventaddress',
            index=models.Index(fields=['address', '-event'], name='event_by_address'),
        ),
    ]
