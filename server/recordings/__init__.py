"""Recordings: a stream in a file, from which its masks can be computed again."""
