"""Pulled streams over HTTP and WebSockets."""
