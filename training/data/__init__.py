"""Datasets, and the clips, augmentation and batches that training draws from them."""
