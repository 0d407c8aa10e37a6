"""Bookkeeping of streams and their batches: no clock, no thread, no event loop."""
