"""Processes without rights, in which untrusted files are examined and decoded."""
