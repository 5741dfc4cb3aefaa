"""Sign-ins of programs that a person confirms on the site. Before deploy."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0034_fill_ratings_of_parts'),
    ]

    operations = [
        migrations.CreateModel(
            name='DeviceLogin',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('device_digest', models.CharField(max_length=64, unique=True)),
                ('user_digest', models.CharField(max_length=64, unique=True)),
                ('client', models.CharField(max_length=40)),
                ('device', models.CharField(blank=True, max_length=64)),
                ('scopes', models.JSONField(default=list)),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('allowed', 'Allowed'), ('denied', 'Denied')], default='pending', max_length=8)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField(db_index=True)),
                ('polled_at', models.DateTimeField(blank=True, null=True)),
                ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='device_logins', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('state', 'pending'), ('user', None)), models.Q(('state__in', ['allowed', 'denied']), ('user__isnull', False)), _connector='OR'), name='device_login_decided_by_user')],
            },
        ),
    ]
