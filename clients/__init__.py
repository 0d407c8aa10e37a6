"""Clients of the service, one folder a language. They share only `protocol` with it."""
