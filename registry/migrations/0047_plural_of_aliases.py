"""The plural of aliases, in the admin. Before deploy."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0046_fill_derived_hashes"),
    ]

    operations = [
        migrations.AlterModelOptions(name="alias", options={"verbose_name_plural": "aliases"}),
        migrations.AlterModelOptions(
            name="packalias", options={"verbose_name_plural": "pack aliases"}
        ),
    ]
