"""Settings: ``base`` for every hub, ``test`` for the tests."""
