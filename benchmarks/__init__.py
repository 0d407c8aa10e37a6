"""Benchmarks that measure ratios within one run; each script has measure() and main()."""
