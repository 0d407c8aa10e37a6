"""Connections to addresses that clients name; each connection is checked when it is made."""
