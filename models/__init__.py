"""MA-ResNet50 in PyTorch.

The modules spec, plan, options, classes and described can be imported without torch; the last
needs onnx.
"""
