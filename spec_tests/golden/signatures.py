"""Every public name as it is called: its parameters, which of them go by place or by name alone, their defaults, and
what its objects answer. In `files/signatures.txt`.

`python -m spec_tests.golden.signatures` writes it anew; what is gone from it breaks a caller's program.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from enum import Enum
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import setol_ww as ww

KEPT = Path(__file__).parent / "files" / "signatures.txt"
OURS = "setol_ww."
#: Those that subclass a class of a library that may be absent, or of another's names.
LEFT_OUT = ("WeightWatcher",)


def text() -> str:
    """All of them, by name."""
    public = {name: getattr(ww, name) for name in sorted(ww._HOME_OF) if name not in LEFT_OUT}
    for module in sorted(ww._MODULES):
        found = getattr(ww, module)
        public |= {f"{module}.{name}": one for name, one in sorted(vars(found).items()) if is_of(found, name)}
    return "\n".join(line for name, one in public.items() for line in lines(name, one)) + "\n"


def is_of(module: ModuleType, name: str) -> bool:
    """What a module has of its own, under a public name."""
    home = str(getattr(vars(module)[name], "__module__", ""))
    return not name.startswith("_") and home.startswith(module.__name__)


def lines(name: str, one: Any) -> Iterator[str]:
    """A name, and below it the members of a class."""
    if not isinstance(one, type):
        yield f"{name}{parameters(one)}" if callable(one) else f"{name} = {type(one).__name__}"
        return
    if issubclass(one, (Enum, Exception)):
        told = [f"{each.name}={each.value!r}" for each in one] if issubclass(one, Enum) else [one.__mro__[1].__name__]
        yield f"class {name}: {', '.join(told)}"
        return
    yield f"class {name}{parameters(one)}{kind(one)}"
    for member in sorted(dir(one)):
        found = inspect.getattr_static(one, member)
        if not member.startswith("_") and (told := of_member(found)):
            yield f"    {told.format(member)}"


def kind(one: type) -> str:
    """What is true of all its objects."""
    if not dataclasses.is_dataclass(one):
        return ""
    made: Any = vars(one).get("__dataclass_params__")
    if made is None:
        return ""
    return "".join(f", {word}" for word in ("frozen", "eq", "order") if getattr(made, word))


def of_member(found: Any) -> str:
    """How a member is asked, `{}` for its name; nothing for what is a library's."""
    if isinstance(found, (property, cached_property)):
        return f"{{}}: {type(found).__name__}"
    for way in (classmethod, staticmethod):
        if isinstance(found, way):
            return f"{way.__name__} {{}}{braced(parameters(found.__func__))}" if is_ours(found.__func__) else ""
    if inspect.isfunction(found):
        return f"{{}}{braced(parameters(found))}" if is_ours(found) else ""
    return ""


def is_ours(function: Callable[..., Any]) -> bool:
    return str(function.__module__).startswith(OURS)


def braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def parameters(one: Any) -> str:
    """The parameters without their types."""
    try:
        told = inspect.signature(one)
    except (TypeError, ValueError):
        return "(...)"
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in told.parameters.values()]
    said = str(told.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return re.sub(r" at 0x[0-9a-f]+", "", said)


def main() -> None:
    """Write the file."""
    KEPT.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
