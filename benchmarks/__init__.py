"""What is measured, as ratios in one run; each script has measure() and main()."""
