"""Measurements that a person repeats with ``make bench`` or ``python -m bench [name ...]``."""
