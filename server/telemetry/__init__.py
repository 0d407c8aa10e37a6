"""Traces of frames, requests and videos, for OpenTelemetry."""
