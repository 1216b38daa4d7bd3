"""Tests of the way pictures come in."""
