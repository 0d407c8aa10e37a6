"""All running parts of the service, and the order in which they start and stop."""
