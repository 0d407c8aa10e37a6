"""Thousands of pulled streams on many servers, in virtual time."""
