"""The two exceptions: what was asked cannot be answered, and what was given cannot be read."""

from __future__ import annotations


class InvalidInput(ValueError):
    """Something was asked that cannot be answered; the text repeats what was asked and what is accepted."""


class UnreadableCheckpoint(OSError):
    """A file could not be read as weights; the text names the file and the cause."""


class ChangedCheckpoint(UnreadableCheckpoint):
    """A file is not the one that was opened: what was read before and what would be read now are different weights.

    No row is to be made of it: it ends a run, where other unreadable files cost their rows.
    """
