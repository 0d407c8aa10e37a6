"""Datasets and what is drawn from them: clips, augmentation, batches."""
