"""Export checkpoints to files that can be served: ONNX, TensorRT plans and Triton models."""
