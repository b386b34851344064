"""Evaluation: functions in numpy (``functional``), published protocols, and metrics for mmengine's evaluator.

Nothing is imported here: models take functions from ``functional`` without the metrics, which read data sets.
"""
