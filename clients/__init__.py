"""Clients of the service, one folder per language. They share only `protocol` with it."""
