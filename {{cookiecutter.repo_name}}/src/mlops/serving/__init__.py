"""What runs in the serving environment: it needs neither torch nor the data."""
