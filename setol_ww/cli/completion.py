"""`setol-ww completion SHELL`: a script of completions, made from the parser by shtab."""

from __future__ import annotations

import argparse
from typing import Any

from ..core.errors import InvalidInput
from .asking import command, say

EXAMPLE = """examples:
  eval "$(setol-ww completion bash)"                                            # in ~/.bashrc
  setol-ww completion zsh > ~/.zsh/completions/_setol-ww                        # a folder of $fpath
  setol-ww completion fish > ~/.config/fish/completions/setol-ww.fish
"""
SHELLS = ("bash", "zsh", "fish")
#: Metavars of what is a file or a folder.
FILES, FOLDERS = ("PATH", "FILE", "SOURCE_OR_RESULTS", "BASE TUNED", "OTHER"), ("DIR",)


def add_completion(commands: Any) -> None:
    """`setol-ww completion`."""
    asked = command(commands, "completion", "completions for a shell", EXAMPLE, _completion)
    asked.add_argument("shell", choices=SHELLS, help="for which shell")


def _completion(asked: argparse.Namespace) -> int:
    say(completion_of(asked.root, asked.shell))
    return 0


def completion_of(root: argparse.ArgumentParser, shell: str) -> str:
    """The script of completions of a parser, which `shell` reads."""
    try:
        import shtab
    except ImportError:
        needed = "it needs another package: pip install 'setol-ww[completion]'"
        raise InvalidInput(f"completion {shell} was asked; {needed}") from None
    for parser in _parsers(root):
        for action in parser._actions:
            if action.metavar in (*FILES, *FOLDERS):
                action.complete = shtab.DIRECTORY if action.metavar in FOLDERS else shtab.FILE  # type: ignore
    return str(shtab.complete(root, shell))


def _parsers(root: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser and those of its commands."""
    below = [action for action in root._actions if isinstance(action, argparse._SubParsersAction)]
    return [root, *(parser for action in below for parser in action.choices.values())]
