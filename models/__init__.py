"""MA-ResNet50 in PyTorch. Only :mod:`models.spec` may be imported without torch."""
