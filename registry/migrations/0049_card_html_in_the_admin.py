"""The name of stored card HTML in the admin, which Django forms wrongly. Before deploy."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0048_plurals_in_the_admin"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="cardhtml",
            options={"verbose_name": "card HTML", "verbose_name_plural": "card HTML"},
        ),
    ]
