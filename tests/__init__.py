"""The test suite; ``tests/conftest.py`` has the cast."""
