"""Connections to addresses that others name, each checked where it is made."""
