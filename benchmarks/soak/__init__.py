"""A soak test: clients connect and leave for hours, and nothing of them may be left. See
``__main__``."""
