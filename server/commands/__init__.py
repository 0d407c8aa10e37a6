"""The server's commands: run the service, or segment one video in this process."""
