"""Tests of the part that knows images and networks and neither Django nor Celery."""
