"""A file written whole: a reader sees the old one or the new one, never a part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PART = ".part"


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to, moved there at the end; after an error nothing of it is left.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with written_whole(file) as part:
    ...     _ = part.write_text("all of it")
    >>> [one.name for one in file.parent.iterdir()]
    ['a.txt']
    """
    part = path.with_name(f".{path.name}{PART}")
    part.unlink(missing_ok=True)
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
