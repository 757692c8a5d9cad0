"""Readers of data as people have it; each gives examples and their targets."""
