"""Uploaded videos: their rows and files, and the jobs that segment them."""
