"""TensorRT plans: which one is needed, how it is built and verified, and switching to it."""
