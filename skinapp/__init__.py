"""Wiring: settings, addresses, Celery, security headers, health.

Nothing is imported here: ``skinapp.runtime`` starts before the requirements are installed.
"""
