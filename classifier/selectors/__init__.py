"""Reads that several places share."""
