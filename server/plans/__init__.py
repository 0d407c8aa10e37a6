"""TensorRT plans: which one is wanted, how it is built, verified and put to work."""
