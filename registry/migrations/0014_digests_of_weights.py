"""Two more kinds of hashes; `manage.py reinspect --hashes` computes them. Before deploy."""

from django.db import migrations, models

KINDS = [
    ("sha256", "SHA-256"),
    ("autov1", "AutoV1"),
    ("autov2", "AutoV2"),
    ("autov3", "AutoV3"),
    ("data_sha256", "SHA-256 after the header"),
    ("tensors", "Tensors in any order"),
    ("weights_f16", "Weights as fp16"),
    ("weights_bf16", "Weights as bf16"),
    ("crc32", "CRC-32"),
    ("blake3", "BLAKE3"),
]


class Migration(migrations.Migration):
    dependencies = [("registry", "0013_html_of_cards")]

    operations = [
        migrations.AlterField(
            "blobhash", "kind", models.CharField(choices=KINDS, max_length=16)
        )
    ]
