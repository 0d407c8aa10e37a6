"""Every error that the launcher reports to a user.

    LauncherError
    |-- WrongUse        an argument that cannot be right; exit status 2
    |-- NoRay           Ray is not installed, does not run here, or refuses the token
    |-- NoServer        no server answers, or it refuses
    |-- NoSuchAgent     neither an agent nor a machine has this name
    `-- Unfinished      not all servers ended in time

The message is one sentence that says what to do.
"""

from __future__ import annotations


class LauncherError(Exception):
    """The base of all."""


class WrongUse(LauncherError):
    pass


class NoRay(LauncherError):
    pass


class NoServer(LauncherError):
    pass


class NoSuchAgent(LauncherError):
    pass


class Unfinished(LauncherError):
    pass
