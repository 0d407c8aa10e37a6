"""Speed on a GPU: ``python -m benchmarks.gpu``. Needs only torch, and reports what is missing."""
