"""Cards for links are drawn when they are asked for, not kept. Before or after deploy: no column changes."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('previews', '0002_stacks_samples_derivatives'),
    ]

    operations = [
        migrations.AlterField(
            model_name='sheet',
            name='kind',
            field=models.CharField(choices=[('png', 'Contact sheet, PNG'), ('pdf', 'Contact sheet, PDF')], max_length=8),
        ),
    ]
