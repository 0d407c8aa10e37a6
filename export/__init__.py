"""From a checkpoint to a file that serves: ONNX, TensorRT."""
