"""The Django application: people, patients, images, analyses, predictions, reviews."""
