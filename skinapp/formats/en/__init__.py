"""English, with the dates of ISO 8601."""
