"""The loop around one engine, and several of them as one."""
