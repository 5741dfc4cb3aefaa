"""Search documents replaced this column. After deploy: the release before still writes it."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0020_fill_search_documents"),
    ]

    operations = [
        migrations.RemoveField(model_name="adapter", name="search_text"),
    ]
