"""The loop around one engine, and several engines behind one interface."""
