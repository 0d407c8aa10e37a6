"""Whether the service in this container takes work: exit 0, or 1 with the reason."""

from __future__ import annotations

import os
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

PATIENCE = 4.0


def reason() -> str | None:
    """Why it takes none; None where it does."""
    port = os.environ.get("MASTREAM_PORT", "8000")
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=PATIENCE):
            return None
    except HTTPError as refused:
        return refused.read(1000).decode(errors="replace")
    except OSError as error:
        return f"nothing answers on port {port}: {error}"


if __name__ == "__main__":
    sys.exit(reason())
