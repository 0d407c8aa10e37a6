"""Hours of clients that come and go, and what is left of them. See ``__main__``."""
