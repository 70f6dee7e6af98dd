"""What the commands say of themselves: every option with its help, the examples, and what the demonstration tells."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from setol_ww.cli.demo import demo_table, demo_text, files_text
from setol_ww.cli.main import parser

from .kept_words import Call


def helped(asked: argparse.ArgumentParser) -> str:
    """Description, options and examples of a command, as they are before a terminal breaks their lines."""
    formatter = asked._get_formatter()

    def lines() -> Iterator[str]:
        yield f"{asked.description}"
        for action in asked._actions:
            name = ", ".join(action.option_strings) or action.dest
            told = formatter._expand_help(action) if action.help else "-"
            choices = "" if action.choices is None else f" of {', '.join(map(str, action.choices))}"
            yield f"{name} {action.metavar or ''}{choices}: {told}"
        yield f"{asked.epilog or ''}"

    return "\n".join(lines())


def of_commands() -> dict[str, argparse.ArgumentParser]:
    """Every command by name, the program itself as the first."""
    (commands,) = (one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    return {"setol-ww": parser(), **commands.choices}


def in_short(_: object) -> str:
    """The line of each command in the help of the program."""
    (commands,) = (one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    return "\n".join(f"{one.dest}: {one.help}" for one in commands._choices_actions)


def demonstration(_: object) -> str:
    """What is told of the three nets, and of the files they are in."""
    return demo_text(*demo_table())


def written(_: object) -> str:
    """Where the files of the demonstration are."""
    return files_text({what: Path(what) for what in ("report", "picture", "results")})


CALLS: dict[str, Call] = {
    "all, in short": in_short,
    **{f"help: {name}": lambda _, name=name: helped(of_commands()[name]) for name in of_commands()},
    "demo: the nets": demonstration,
    "demo: the files": written,
}
