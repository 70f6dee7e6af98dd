"""Places that `fsspec` knows: `https://`, `s3://`, `memory://` and others, with the settings of its clients."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..core.errors import InvalidInput, UnreadableCheckpoint
from .extras import lacking, needed
from .remote import EXTRA, Info, RemotePath, asked_again

# The words of file systems for what changes with the content, the surest first.
VERSIONS = ("ETag", "etag", "Content-MD5", "md5Hash", "VersionId", "generation", "LastModified", "Last-Modified")
TIMES = ("mtime", "last_modified", "updated", "created")
PIECE = 2**24
# For so many seconds what a server said of a file is not asked again, but after a read it always is.
FRESH, KEPT = 10.0, 4096


class UrlPath(RemotePath):
    """A file or folder behind any URL of fsspec's."""

    def info(self, fresh: bool = False) -> Info | None:
        told_at, told = _told.get(self.url, (float("-inf"), None))
        if fresh or time.monotonic() - told_at > FRESH:
            told = self._asked()
            if len(_told) >= KEPT:
                _told.clear()
            _told[self.url] = (time.monotonic(), told)
        return told

    def _asked(self) -> Info | None:
        system, path = self._system()
        if _is_web(system) and not self.suffix:
            # A web server has no folders; what looks like one is asked for its list when it is needed.
            return Info(0, is_folder=True)

        def ask() -> dict[str, Any]:
            system.invalidate_cache(path)
            return dict(system.info(path))

        said = asked_again(self, ask)
        if said is None:
            return None
        if said.get("type") == "directory":
            return Info(0, is_folder=True)
        version = next((str(said[key]) for key in (*VERSIONS, *TIMES) if said.get(key)), "")
        size = said.get("size")
        return Info(-1 if size is None or said.get("partial") is False else int(size), version.strip('"'))

    def iterdir(self) -> Iterator[RemotePath]:
        system, path = self._system()
        base = f"{path.rstrip('/')}/"
        listed = asked_again(self, lambda: system.ls(base if _is_web(system) else path, detail=True))
        names = sorted({name for entry in listed or () if (name := _name_below(entry["name"], base))})
        if _is_web(system) and not names:
            raise InvalidInput(
                f"the folder {self.url!r} was asked; its server gives no list of it. Accepted are the address of a "
                "file of weights or of its *.index.json"
            )
        return iter([self / name for name in names])

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        system, path = self._system()
        for low in range(start, stop, PIECE):
            yield self._range(system, path, low, min(low + PIECE, stop))

    def _range(self, system: Any, path: str, start: int, stop: int) -> bytes:
        if not _is_web(system):
            return bytes(system.cat_file(path, start=start, end=stop))
        known = self.info()
        with system.open(path, "rb", block_size=PIECE, cache_type="none", size=known and known.size) as file:
            file.seek(start)
            try:
                return bytes(file.read(stop - start))
            except ValueError as error:
                # The sentence of fsspec for a server that sends the whole file when a part of it is asked.
                raise UnreadableCheckpoint(
                    f"{self.url}: its server does not give parts of files ({error}). Fetch it, and read the copy"
                ) from error

    def _system(self) -> tuple[Any, str]:
        core = needed("fsspec.core", self.url, EXTRA)
        try:
            system, path = core.url_to_fs(self.url)
        except ImportError as error:
            raise lacking(self.url, EXTRA, error) from error
        except ValueError as error:
            raise InvalidInput(
                f"reading {self.url!r} was asked ({error}); accepted are hf://, https://, s3:// and what fsspec knows"
            ) from error
        return system, str(path)


_told: dict[str, tuple[float, Info | None]] = {}


def _is_web(system: Any) -> bool:
    return "http" in system.protocol or "https" in system.protocol


def _name_below(path: str, base: str) -> str:
    """The name of something directly in a folder; empty for anything else."""
    bare = path.partition("?")[0].rstrip("/")
    name = bare.rpartition("/")[2]
    return name if bare == f"{base}{name}" else ""


def forget_told() -> None:
    """Ask servers anew."""
    _told.clear()
