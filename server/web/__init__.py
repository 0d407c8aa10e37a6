"""What the service shows: the stream socket, models, health, metrics, problems."""
