"""What the process can be started as: the service, or one video here."""
