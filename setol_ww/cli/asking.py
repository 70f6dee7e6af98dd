"""What the commands share: how a command is declared, which paths and results it was asked, and how it speaks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import InvalidInput
from ..formats.places import is_url
from ..formats.registry import accepted

INTERRUPTED = 130
LAYERS = "--layers"
PATH_HELP = (
    f"a file of weights ({', '.join(accepted())}) or a folder of them, or a URL of one (hf://org/model, https://...)"
)


def command(commands: Any, name: str, summary: str, example: str, run: Any) -> argparse.ArgumentParser:
    """A command with its help and an example."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary.capitalize() + ".",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(run=run)
    return made


def paths_of(asked: argparse.Namespace) -> list[str]:
    """The paths that were asked: those before the options, else files and folders at the end of `--layers`.

    `--layers` takes every word behind it; where a path is among them and none stands elsewhere, it is the path.
    """
    if asked.paths:
        return list(asked.paths)
    words = list(getattr(asked, "layers", ()))
    found: list[str] = []
    while len(words) > 1 and (is_url(words[-1]) or Path(words[-1]).exists()):
        found.insert(0, words.pop())
    if not found:
        raise InvalidInput("a PATH is needed: a file of weights or a folder of them, before the options")
    asked.layers = words
    return found


def with_minus(arguments: Sequence[str]) -> list[str]:
    """The words of a command line, those behind `--layers` spelled so that one may begin with a minus.

    >>> with_minus(["analyze", "net.pt", "--layers", "dense", "-fc1", "--quiet"])
    ['analyze', 'net.pt', '--layers=dense', '--layers=-fc1', '--quiet']
    """
    words: list[str] = []
    inside = False
    for number, word in enumerate(arguments):
        if inside and not word.startswith("--") and word != "-h":
            words.append(f"{LAYERS}={word}")
            continue
        if word == "--":
            return [*words, *arguments[number:]]
        following = arguments[number + 1 : number + 2]
        inside = word == LAYERS and bool(following) and not following[0].startswith("--")
        # With nothing behind it argparse says so.
        words += [] if inside else [word]
    return words


def one_path(asked: argparse.Namespace) -> str:
    """The path of a command that takes one."""
    found = paths_of(asked)
    if len(found) > 1:
        raise InvalidInput(f"the paths {', '.join(found)} were asked; accepted is one of them at a time")
    return found[0]


def say(text: str) -> None:
    """Print, with +- for ± where the terminal cannot show it."""
    encoding = sys.stdout.encoding or "utf-8"
    if not _shows(encoding):
        text = text.replace("±", "+-").encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)


def _shows(encoding: str) -> bool:
    try:
        "±".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
