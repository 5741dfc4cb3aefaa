"""Pictures and videos that rendering makes, and the recipes inside them."""
