"""The service's HTTP routes and sockets: streams, videos, models, health and metrics."""
