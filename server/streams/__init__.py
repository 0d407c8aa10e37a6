"""Pushed streams: what a client's messages mean, what waits, what is sent."""
