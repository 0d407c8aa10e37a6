"""Uploads and videos over HTTP."""
