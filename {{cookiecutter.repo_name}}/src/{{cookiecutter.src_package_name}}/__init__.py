"""Digits in, a served model out: one command a stage (see cli.py)."""
