"""People and organisations: accounts, permissions, quotas, limits on attempts."""
