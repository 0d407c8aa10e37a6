"""Check that the service in this container takes work: exit with 0, or with 1 and the reason."""

from __future__ import annotations

import os
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

TIMEOUT_SECONDS = 4.0


def reason() -> str | None:
    """Return why it takes no work; None if it does."""
    port = os.environ.get("MASTREAM_PORT", "8000")
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=TIMEOUT_SECONDS):
            return None
    except HTTPError as refused:
        return refused.read(1000).decode(errors="replace")
    except OSError as error:
        return f"Nothing answers on port {port}: {error}."


if __name__ == "__main__":
    sys.exit(reason())
