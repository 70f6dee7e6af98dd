"""What the commands share: how a command is declared, which paths it was asked, and how it answers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core.colour import wants_colour
from ..core.errors import InvalidInput
from ..core.options import add_flags
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


def add_answers(parser: argparse.ArgumentParser) -> None:
    """`--quiet` and `--json`: the answer of a command is for people, or none, or for a program."""
    add_flags(parser, "progress")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON, with the version of its schema")


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
    >>> with_minus(["analyze", "net.pt", "--layers=-fc1", "-fc2"])
    ['analyze', 'net.pt', '--layers=-fc1', '--layers=-fc2']
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
        inside = inside or word.startswith(f"{LAYERS}=")
    return words


def one_path(asked: argparse.Namespace) -> str:
    """The path of a command that takes one."""
    found = paths_of(asked)
    if len(found) > 1:
        raise InvalidInput(f"the paths {', '.join(found)} were asked; accepted is one of them at a time")
    return found[0]


def answer(asked: argparse.Namespace, text: Callable[[bool], str], told: Callable[[], Any]) -> None:
    """What a command found: `told` where JSON was asked, else `text` (which takes whether in colour) unless quiet."""
    if asked.json:
        say(json.dumps(told(), indent=1, allow_nan=False) + "\n")
    elif not is_quiet(asked):
        say(text(wants_colour(sys.stdout)) + "\n")


def is_quiet(asked: argparse.Namespace) -> bool:
    """Whether people are not to be told anything."""
    return getattr(asked, "progress", None) is False


def say(text: str) -> None:
    """Print, with +- for ± where the terminal cannot show it."""
    encoding = sys.stdout.encoding or "utf-8"
    if not _shows(encoding):
        text = text.replace("±", "+-").encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)


def _shows(encoding: str) -> bool:
    try:
        "±".encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
