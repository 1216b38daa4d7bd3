"""Rules: every change of a fact goes through one of these functions."""
