"""The pages in other languages."""
