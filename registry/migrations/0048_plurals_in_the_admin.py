"""Plurals in the admin that Django forms wrongly. Before deploy."""

from django.db import migrations

_PLURALS = {
    "blobanatomy": "blob anatomies",
    "blobhash": "blob hashes",
    "blobsketch": "blob sketches",
    "dailydownloads": "daily downloads",
    "derivedhash": "derived hashes",
    "eventaddress": "event addresses",
    "versionanatomy": "version anatomies",
    "weightsketch": "weight sketches",
}


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0047_plural_of_aliases"),
    ]

    operations = [
        migrations.AlterModelOptions(name=model, options={"verbose_name_plural": plural})
        for model, plural in _PLURALS.items()
    ]
