"""Pytest plug-ins of this suite."""
