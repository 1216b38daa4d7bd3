"""Images and networks: everything that knows neither Django nor Celery."""
