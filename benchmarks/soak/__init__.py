"""A soak test: clients come and go for hours, and nothing of them may be left. See ``__main__``."""
