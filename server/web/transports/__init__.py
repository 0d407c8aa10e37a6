"""The connections under HTTP and WebSockets, with the limits that hold before a request is read."""
