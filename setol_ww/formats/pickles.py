"""Pickles read without running anything of them: a machine for their opcodes that builds plain containers.

A pickle is a program: it names classes and functions, and has them called. Here a name becomes a `Global`, which
nobody can call, and a call becomes what a fixed table of constructors makes of its arguments, else a `Placeholder`
that remembers them. Nothing is imported, no attribute is looked up, and no memory is reserved by a number in the
pickle: every object that is made costs bytes of the file. Opcodes: PEP 3154, PEP 574 and Lib/pickletools.py.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .handle import Refused

# Longer integers stand in no checkpoint; Python's own conversion of text to integers is quadratic.
MAX_INTEGER = 256
MAX_LINE = 2**20
MAX_ARGUMENTS = 16
# What a malicious file calls. Nothing would happen here, but who loads the file elsewhere should hear of it.
HARMFUL_MODULES = frozenset(
    "os posix nt subprocess sys socket shutil runpy importlib pty commands webbrowser ctypes pdb bdb code".split()
)
HARMFUL_NAMES = frozenset(
    (module, name)
    for module in ("builtins", "__builtin__")
    for name in ("eval", "exec", "execfile", "compile", "__import__", "open", "file", "breakpoint", "input")
)


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Placeholder:
    """An object of a class that is not known here, inert.

    Attributes
    ----------
    what : object
        Its class or the function that would have made it, a `Global` as a rule.
    args : object
        Their arguments.
    state : object
        What it was to be restored from, None without.
    items, entries
        What was appended to it, and set in it by key.
    """

    __slots__ = ("args", "entries", "items", "state", "what")

    def __init__(self, what: Any, args: Any = ()) -> None:
        self.what, self.args, self.state = what, args, None
        self.items: list[Any] = []
        self.entries: dict[Any, Any] = {}

    def attributes(self) -> Mapping[Any, Any]:
        """The attributes of the object, as far as its state is a mapping of them, with slots or without."""
        state = self.state
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], dict):
            state = state[0]
        return state if isinstance(state, dict) else {}


class Buildable:
    """An object of ours that takes the state a pickle restores it from."""

    __slots__ = ()

    def build(self, state: Any) -> None:
        """Take the state."""
        raise NotImplementedError


Constructor = Callable[..., Any]


def word_of(value: Any) -> str:
    """What an object of a pickle is, in a word or two."""
    if isinstance(value, Placeholder):
        return str(value.what)[:100] if isinstance(value.what, Global) else "placeholder"
    return type(value).__name__


class Source:
    """Bytes taken from the front, fetched as they are needed: `fetch(offset, size)` of `size` bytes in all."""

    STEP = 2**20

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, start: int = 0) -> None:
        self.fetch, self.size = fetch, size
        self.buffer, self.base, self.at = b"", start, 0

    @classmethod
    def of(cls, data: bytes) -> Source:
        """The source of bytes in memory."""
        source = cls(lambda offset, size: data[offset : offset + size], len(data))
        source.buffer = data
        return source

    @property
    def position(self) -> int:
        """Of the next byte."""
        return self.base + self.at

    def take(self, number: int) -> bytes:
        """The next bytes, all of them."""
        if number > len(self.buffer) - self.at:
            self._more(number)
        taken = self.buffer[self.at : self.at + number]
        self.at += number
        return taken

    def line(self) -> bytes:
        """The bytes to the next line feed, without it."""
        end = self.buffer.find(b"\n", self.at, self.at + MAX_LINE)
        if end < 0:
            self._more(min(MAX_LINE, self.size - self.position))
            end = self.buffer.find(b"\n", self.at, self.at + MAX_LINE)
        if end < 0:
            raise Refused("a line without an end")
        taken = self.buffer[self.at : end]
        self.at = end + 1
        return taken

    def _more(self, number: int) -> None:
        position = self.position
        if number > self.size - position:
            raise Refused(f"the pickle asks for {number} bytes where {self.size - position} are left")
        self.buffer = self.fetch(position, min(max(number, self.STEP), self.size - position))
        self.base, self.at = position, 0


class Machine:
    """Runs one pickle.

    Parameters
    ----------
    source : Source
        Left behind the pickle's end.
    constructors : mapping
        What to make of a call, by module and name of what is called: takes the arguments.
    persistent : callable, optional
        What to make of a persistent id; refused without.
    otherwise : callable
        What to make of a call that is in no table: takes what is called and the arguments.
    """

    def __init__(
        self,
        source: Source,
        constructors: Mapping[tuple[str, str], Constructor] | None = None,
        persistent: Callable[[Any], Any] | None = None,
        otherwise: Callable[[Any, tuple[Any, ...]], Any] = Placeholder,
    ) -> None:
        self.otherwise = otherwise
        self.source, self.constructors, self.persistent = source, constructors or {}, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.start = source.position
        self.copied = 0

    def run(self) -> Any:
        """The object the pickle is of."""
        take, operations = self.source.take, OPERATIONS
        while True:
            code = take(1)
            if code == b".":
                return self.pop()
            operation = operations.get(code)
            if operation is None:
                raise Refused(f"the opcode {code!r} at byte {self.source.position - 1}")
            operation(self)

    def pop(self) -> Any:
        """The uppermost object."""
        if not self.stack:
            raise Refused("it takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        """The uppermost object, which stays."""
        if not self.stack:
            raise Refused("it looks at an empty stack")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """The objects above the uppermost mark."""
        if not self.below:
            raise Refused("it goes back to a mark that is not there")
        items, self.stack = self.stack, self.below.pop()
        return items

    def copies(self, size: int) -> None:
        """Account for bytes or objects that are copied: a pickle may ask for many copies of one long text."""
        self.copied += size
        if self.copied > 4 * (self.source.position - self.start) + 4096:
            raise Refused("it copies more than it holds")

    def call(self, what: Any, args: Any) -> Any:
        """What stands for a call."""
        if not isinstance(args, tuple) or not isinstance(what, (Global, Placeholder)):
            raise Refused(f"it calls a {word_of(what)} with a {word_of(args)} of arguments")
        if not isinstance(what, Global):
            return self.otherwise(what, args)
        if what.module.split(".")[0] in HARMFUL_MODULES or (what.module, what.name) in HARMFUL_NAMES:
            raise Refused(f"loaded elsewhere it would call {str(what)[:100]}")
        constructor = self.constructors.get((what.module, what.name))
        if constructor is None or len(args) > MAX_ARGUMENTS:
            return self.otherwise(what, args)
        return constructor(self, *args)

    def number(self, layout: str) -> int:
        """The next bytes as an integer."""
        return struct.unpack(layout, self.source.take(struct.calcsize(layout)))[0]


def hashable(key: Any) -> Any:
    """A key that can be hashed in no time: words and numbers as they are, short tuples of them, else its object."""
    if key is None or isinstance(key, (str, bytes, int, float, Placeholder, Global)):
        return key
    parts = key[:MAX_ARGUMENTS] if isinstance(key, tuple) else (key,)
    if any(isinstance(part, (dict, list)) for part in parts):
        raise Refused("a key that has none of its own: a list or dictionary")
    if isinstance(key, tuple) and len(key) <= MAX_ARGUMENTS and all(map(_is_plain, key)):
        return key
    return Placeholder("key", key)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, bytes, int, float))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _short(data: bytes) -> int:
    if len(data) > MAX_INTEGER:
        raise Refused(f"an integer of {len(data)} bytes")
    return int.from_bytes(data, "little", signed=True)


def _decimal(line: bytes) -> int:
    if len(line) > MAX_INTEGER:
        raise Refused(f"an integer of {len(line)} digits")
    return int(line)


def _int_line(machine: Machine) -> None:
    line = machine.source.line()
    machine.stack.append({b"00": False, b"01": True}.get(line) if line in (b"00", b"01") else _decimal(line))


def _long_line(machine: Machine) -> None:
    machine.stack.append(_decimal(machine.source.line().removesuffix(b"L")))


def _float_line(machine: Machine) -> None:
    machine.stack.append(float(machine.source.line()[:MAX_INTEGER]))


def _string_line(machine: Machine) -> None:
    line = machine.source.line()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise Refused("a string without its quotes")
    machine.stack.append(_old_string(codecs.escape_decode(line[1:-1])[0]))


def _old_string(data: bytes) -> str | bytes:
    """A string of Python 2: text where it is some, else bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _sized(layout: str, make: Callable[[bytes], Any]) -> Callable[[Machine], None]:
    def operation(machine: Machine) -> None:
        size = machine.number(layout)
        if size < 0:
            raise Refused("a length below 0")
        machine.stack.append(make(machine.source.take(size)))

    return operation


def _number(layout: str) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(machine.number(layout))


def _constant(make: Callable[[], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(make())


def _mark(machine: Machine) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _last(number: int) -> Callable[[Machine], None]:
    def operation(machine: Machine) -> None:
        if len(machine.stack) < number:
            raise Refused("it takes from an empty stack")
        machine.stack[-number:] = [tuple(machine.stack[-number:])]

    return operation


def _gathered(make: Callable[[list[Any]], Any]) -> Callable[[Machine], None]:
    def operation(machine: Machine) -> None:
        items = machine.pop_mark()
        machine.stack.append(make(items))

    return operation


def _set_items(target: Any, items: list[Any]) -> None:
    if len(items) % 2:
        raise Refused("a key without a value")
    entries = target.entries if isinstance(target, Placeholder) else target
    if not isinstance(entries, dict):
        raise Refused(f"items are set in a {word_of(target)}")
    for key, value in zip(items[::2], items[1::2]):
        entries[hashable(key)] = value


def _dict(items: list[Any]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    _set_items(made, items)
    return made


def _append(target: Any, items: list[Any]) -> None:
    listed = target.items if isinstance(target, Placeholder) else target
    if not isinstance(listed, list):
        raise Refused(f"something is appended to a {word_of(target)}")
    listed.extend(items)


def _one_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _set_items(machine.top(), [key, value])


def _one_appended(machine: Machine) -> None:
    value = machine.pop()
    _append(machine.top(), [value])


def _marked(into: Callable[[Any, list[Any]], None]) -> Callable[[Machine], None]:
    def operation(machine: Machine) -> None:
        items = machine.pop_mark()
        into(machine.top(), items)

    return operation


def _set_of(items: list[Any]) -> Placeholder:
    made = Placeholder(Global("builtins", "set"))
    made.items = list(items)
    return made


def _get(where: Callable[[Machine], int]) -> Callable[[Machine], None]:
    def operation(machine: Machine) -> None:
        place = where(machine)
        if place not in machine.memo:
            raise Refused(f"the memo has nothing at {place}")
        machine.stack.append(machine.memo[place])

    return operation


def _put(where: Callable[[Machine], int]) -> Callable[[Machine], None]:
    def operation(machine: Machine) -> None:
        machine.memo[where(machine)] = machine.top()

    return operation


def _global_line(machine: Machine) -> Global:
    return Global(_text(machine.source.line()), _text(machine.source.line()))


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise Refused("a class without a name")
    machine.stack.append(Global(module, name))


def _reduce(machine: Machine) -> None:
    args, what = machine.pop(), machine.pop()
    machine.stack.append(machine.call(what, args))


def _new_with_words(machine: Machine) -> None:
    machine.pop()
    _reduce(machine)


def _inst(machine: Machine) -> None:
    what, args = _global_line(machine), machine.pop_mark()
    machine.stack.append(machine.call(what, tuple(args)))


def _obj(machine: Machine) -> None:
    items = machine.pop_mark()
    if not items:
        raise Refused("an object without a class")
    machine.stack.append(machine.call(items[0], tuple(items[1:])))


def _build(machine: Machine) -> None:
    state = machine.pop()
    target = machine.top()
    if isinstance(target, Placeholder):
        target.state = state
    elif isinstance(target, Buildable):
        target.build(state)
    elif isinstance(target, (type(None), bool, int, float, str, bytes, tuple, list)):
        raise Refused(f"it restores a {word_of(target)} from a state")


def _persistent(machine: Machine, key: Any) -> None:
    if machine.persistent is None:
        raise Refused("it names an object that lies outside of it")
    machine.stack.append(machine.persistent(key))


def _protocol(machine: Machine) -> None:
    if machine.number("<B") > 5:
        raise Refused("it is of a protocol after 5")


def _frame(machine: Machine) -> None:
    """The length of a frame is of use to those who read ahead."""
    machine.number("<Q")


def _pop_mark(machine: Machine) -> None:
    machine.pop_mark()


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.top()


OPERATIONS: dict[bytes, Callable[[Machine], None]] = {
    b"\x80": _protocol,
    b"\x95": _frame,
    b"(": _mark,
    b"0": _pop,
    b"1": _pop_mark,
    b"2": lambda machine: machine.stack.append(machine.top()),
    b"N": _constant(lambda: None),
    b"\x88": _constant(lambda: True),
    b"\x89": _constant(lambda: False),
    b"I": _int_line,
    b"L": _long_line,
    b"F": _float_line,
    b"S": _string_line,
    b"V": lambda machine: machine.stack.append(machine.source.line().decode("raw-unicode-escape")),
    b"J": _number("<i"),
    b"K": _number("<B"),
    b"M": _number("<H"),
    b"G": _number(">d"),
    b"\x8a": _sized("<B", _short),
    b"\x8b": _sized("<i", _short),
    b"U": _sized("<B", _old_string),
    b"T": _sized("<i", _old_string),
    b"B": _sized("<I", bytes),
    b"C": _sized("<B", bytes),
    b"\x8e": _sized("<Q", bytes),
    b"\x96": _sized("<Q", bytes),
    b"X": _sized("<I", _text),
    b"\x8c": _sized("<B", _text),
    b"\x8d": _sized("<Q", _text),
    b")": _constant(tuple),
    b"]": _constant(list),
    b"}": _constant(dict),
    b"\x8f": _constant(lambda: _set_of([])),
    b"\x85": _last(1),
    b"\x86": _last(2),
    b"\x87": _last(3),
    b"t": _gathered(tuple),
    b"l": _gathered(list),
    b"d": _gathered(_dict),
    b"\x91": _gathered(_set_of),
    b"a": _one_appended,
    b"e": _marked(_append),
    b"s": _one_item,
    b"u": _marked(_set_items),
    b"\x90": _marked(_append),
    b"g": _get(lambda machine: _decimal(machine.source.line())),
    b"h": _get(lambda machine: machine.number("<B")),
    b"j": _get(lambda machine: machine.number("<I")),
    b"p": _put(lambda machine: _decimal(machine.source.line())),
    b"q": _put(lambda machine: machine.number("<B")),
    b"r": _put(lambda machine: machine.number("<I")),
    b"\x94": _memoize,
    b"c": lambda machine: machine.stack.append(_global_line(machine)),
    b"\x93": _stack_global,
    b"R": _reduce,
    b"\x81": _reduce,
    b"\x92": _new_with_words,
    b"i": _inst,
    b"o": _obj,
    b"b": _build,
    b"P": lambda machine: _persistent(machine, _text(machine.source.line())),
    b"Q": lambda machine: _persistent(machine, machine.pop()),
}
