"""Series of runs, and the paper's tables filled from them."""
