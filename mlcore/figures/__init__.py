"""Figures of merit: measures, their bootstrap intervals, curves and slices.

:mod:`mlcore.evaluate` is the way in.
"""
