"""Auditing a folder of labelled pictures before anybody trains on it."""
