"""What the commands say of themselves: every option with its help, the examples, and what the demonstration tells."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from setol_ww.cli.asking import with_minus
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


#: Every command with as little as it takes, and with every option that is its own.
LINES = """
analyze
analyze a b --out t.csv --engine reference --reasons --json --quiet
scan --out t.csv
scan a --out t.csv --shard 3/16 --no-resume
merge a --out t.csv
merge a b --out t.csv --partial
summary
summary a --fail-on x>1 --fail-on y>2
report --out r.html
report a --out r.html --compare b
compare
compare a b c --out t.csv --no-update --fail-on x>1 --fail-on y>2
recommend --target sparsity
recommend a --target unfreeze --set a=1 --set b=2 --out o.csv
watch d
watch d --out h.csv --every 2 --once
truncate --out d
truncate a --rule erg --plan p.json --out d --factorised
spec
spec --implementation m:f --profile ci --only A B --seed 7 --out r.md
demo
demo --out d
completion zsh
--version --verbose
"""


def understood(line: str) -> str:
    """What a command line comes to, by name."""
    told = vars(parser().parse_args(with_minus(line.split())))
    kept = {name: value for name, value in told.items() if name != "root" and not callable(value)}
    shown = {name: f"path {value}" if isinstance(value, Path) else repr(value) for name, value in kept.items()}
    return "; ".join(f"{name} {value}" for name, value in sorted(shown.items()))


CALLS: dict[str, Call] = {
    "all, in short": in_short,
    **{f"help: {name}": lambda _, name=name: helped(of_commands()[name]) for name in of_commands()},
    **{f"understood: {line}": lambda _, line=line: understood(line) for line in LINES.strip().split("\n")},
    "demo: the nets": demonstration,
    "demo: the files": written,
}
