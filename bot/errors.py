"""Every failure that a user can cause, each with the exit code that tells scripts what happened."""

from __future__ import annotations


class NetreachError(Exception):
    """A failure with a message for people; `exit_code` is what the process ends with (docs/exit-codes.md)."""

    exit_code = 70


class UsageError(NetreachError):
    """Wrong arguments or a wrong config file; the message has the file and line."""

    exit_code = 2


class NoManifests(NetreachError):
    """Nothing to analyse was found."""

    exit_code = 4


class GitError(NetreachError):
    """An unknown ref, a shallow history, no merge base, or no git."""

    exit_code = 5


class PublishError(NetreachError):
    """The verdict was printed, but the comment or check could not be written."""

    exit_code = 6


class InternalError(NetreachError):
    """A fault of netreach itself."""
