"""Jobs get owner and turn from the database where a process of before names none. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0003_workers_and_turns'),
    ]

    operations = [
        migrations.AlterField(
            model_name='job',
            name='owner',
            field=models.CharField(blank=True, db_default='', default='', max_length=96),
        ),
        migrations.AlterField(
            model_name='job',
            name='turn',
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
    ]
