"""Pushed streams: what a client's messages mean, and the queues for frames and answers."""
