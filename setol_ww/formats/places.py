"""Where weights lie: a path of this machine, or a URL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..core.checks import path_of
from .handle import Handle
from .hub import SCHEME, hub_place
from .remote import RemotePath
from .urls import UrlPath

Place: TypeAlias = Path | RemotePath
# One scheme, or several as fsspec chains them (`simplecache::s3://...` keeps a copy on disk).
URL = re.compile(r"^([a-zA-Z][\w+.-]*::)*[a-zA-Z][\w+.-]*://")


def is_url(value: object) -> bool:
    """True for text that is a URL.

    >>> is_url("hf://org/model"), is_url("model.safetensors")
    (True, False)
    """
    return isinstance(value, str) and URL.match(value) is not None


def place_of(value: str | Place) -> Place:
    """A path, or the place of a URL; `InvalidInput` for what is neither.

    >>> place_of("https://example.org/model.safetensors").suffix, place_of("model.safetensors").suffix
    ('.safetensors', '.safetensors')
    """
    if isinstance(value, RemotePath):
        return value
    if not is_url(value):
        return path_of("path", value)
    url = str(value)
    if url.startswith("file://"):
        return Path(url2pathname(urlsplit(url).path))
    return hub_place(url) if url.startswith(SCHEME) else UrlPath(url)


def handle_of(place: Place) -> Handle:
    """A place, open for reading."""
    return place.handle() if isinstance(place, RemotePath) else Handle(place)
