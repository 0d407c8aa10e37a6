"""A training run: the learner, its checkpoints, its validation and its progress."""
