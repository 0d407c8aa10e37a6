"""A training run: what learns, what is kept, what is shown."""
