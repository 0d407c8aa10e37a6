"""Speed on a GPU: ``python -m benchmarks.gpu``. Needs torch alone, and says what it lacked."""
