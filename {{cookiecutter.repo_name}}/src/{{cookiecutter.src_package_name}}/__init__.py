"""The team's package: what the problem is."""
