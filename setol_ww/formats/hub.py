"""Models on the Hugging Face hub, `hf://org/model[@revision][/file]`, through `huggingface_hub`.

Its settings hold: the token, `HF_ENDPOINT`, the cache, offline mode. A revision is turned into its commit once, so that
all that is read is of one commit; files that the cache has are read there, the others by ranges and not kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..core.errors import InvalidInput, UnreadableCheckpoint
from .extras import needed
from .handle import Handle
from .remote import EXTRA, Info, RemotePath, asked_again

SCHEME = "hf://"
FORM = re.compile(
    r"^hf://(?P<repo>[\w.-]+(?:/[\w.-]+|(?![\w.-]*/)))(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/@]+))?(?:/(?P<file>.*))?$"
)
COMMIT = re.compile(r"^[0-9a-f]{40}$")
KEPT = 16


def hub_place(url: str) -> Path | HubPath:
    """The place of a model or of one of its files, at the commit of its revision; in the cache when offline."""
    repo, revision, file = _parts(url)
    if not COMMIT.match(revision) and not _is_offline(url):
        revision = _commit_of(HubPath(url), repo, revision)
    if _is_offline(url):
        return _cached(url, repo, revision, file)
    return HubPath(f"{SCHEME}{repo}@{revision}" + (f"/{file}" if file else ""))


class HubPath(RemotePath):
    """A model at a commit, a folder or a file of it."""

    @property
    def parent(self) -> RemotePath:
        """The folder it is in, at most the model."""
        return super().parent if _parts(self.url)[2] else self

    def info(self, fresh: bool = False) -> Info | None:
        repo, commit, file = _parts(self.url)
        files = _files_of(self, repo, commit)
        if file in files:
            return files[file]
        return Info(0, is_folder=True) if not file or any(name.startswith(f"{file}/") for name in files) else None

    def iterdir(self) -> Iterator[RemotePath]:
        repo, commit, folder = _parts(self.url)
        base = f"{folder}/" if folder else ""
        below = [name[len(base) :] for name in _files_of(self, repo, commit) if name.startswith(base)]
        return iter([self / name for name in dict.fromkeys(name.partition("/")[0] for name in below)])

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        repo, commit, file = _parts(self.url)
        hub, tools = needed("huggingface_hub", self.url, EXTRA), needed("huggingface_hub.utils", self.url, EXTRA)
        wanted = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with tools.get_session().stream(
            "GET",
            hub.hf_hub_url(repo, file, revision=commit),
            headers={**tools.build_hf_headers(), **wanted},
            timeout=needed("huggingface_hub.constants", self.url, EXTRA).HF_HUB_DOWNLOAD_TIMEOUT,
        ) as response:
            tools.hf_raise_for_status(response)
            if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise UnreadableCheckpoint(f"{self.url}: its server does not give parts of files. Fetch it instead")
            yield from response.iter_bytes()

    def handle(self) -> Handle:
        repo, commit, file = _parts(self.url)
        found = self.info()
        kept = needed("huggingface_hub", self.url, EXTRA).try_to_load_from_cache(repo, file, revision=commit)
        if found is not None and isinstance(kept, str) and os.path.getsize(kept) == found.size:
            return KeptHandle(self, Path(kept), found.version)
        return super().handle()

    def hint(self, status: int | None) -> str:
        if status in (401, 403, 404):
            return "Look at the name; of a private or gated model you need the rights, and a token: `hf auth login`"
        return "Check the network; HF_HUB_OFFLINE=1 reads what the cache has; the same call goes on with what was kept"


class KeptHandle(Handle):
    """A file of the hub that the cache has, known by its name on the hub."""

    def __init__(self, place: HubPath, kept: Path, version: str) -> None:
        super().__init__(kept)
        self.path, self.version = place, version


def _parts(url: str) -> tuple[str, str, str]:
    """Model, revision and file of a URL."""
    found = FORM.match(url)
    if found is None or found["repo"].partition("/")[0] in ("datasets", "spaces", "buckets"):
        raise InvalidInput(f"reading {url!r} was asked; accepted is hf://org/model[@revision][/file]")
    return found["repo"], unquote(found["revision"] or "main"), (found["file"] or "").rstrip("/")


def _is_offline(url: str) -> bool:
    return bool(needed("huggingface_hub.constants", url, EXTRA).is_offline_mode())


_files: dict[tuple[str, str], dict[str, Info]] = {}


def _files_of(place: HubPath, repo: str, commit: str) -> dict[str, Info]:
    if (repo, commit) not in _files:
        _commit_of(place, repo, commit)
    return _files[repo, commit]


def _commit_of(place: HubPath, repo: str, revision: str) -> str:
    """The commit of a revision; what the hub says of its files is kept."""
    api: Any = needed("huggingface_hub", place.url, EXTRA).HfApi()
    said = asked_again(place, lambda: api.model_info(repo, revision=revision, files_metadata=True))
    if said is None:
        raise UnreadableCheckpoint(f"{place}: the hub knows no such model or revision. {place.hint(404)}")
    if len(_files) >= KEPT:
        _files.clear()
    files = {
        one.rfilename: Info(
            -1 if one.size is None else one.size, (one.lfs.sha256 if one.lfs else None) or one.blob_id or ""
        )
        for one in said.siblings or ()
    }
    _files[repo, said.sha] = _files[repo, revision] = files
    return str(said.sha)


def _cached(url: str, repo: str, revision: str, file: str) -> Path:
    """The place in the cache; https://huggingface.co/docs/huggingface_hub/guides/manage-cache says how it lies."""
    cache = needed("huggingface_hub.constants", url, EXTRA).HF_HUB_CACHE
    folder = Path(cache) / f"models--{repo.replace('/', '--')}"
    named = folder / "refs" / revision
    commit = named.read_text(encoding="utf-8").strip() if named.is_file() else revision
    found = folder / "snapshots" / commit / file
    if not found.exists():
        raise UnreadableCheckpoint(
            f"{url}: the hub is offline (HF_HUB_OFFLINE) and its cache {cache} has none of it. "
            "Fetch it with `hf download`, or unset HF_HUB_OFFLINE"
        )
    return found
