"""Series of training runs, and the paper's tables filled with their results."""
