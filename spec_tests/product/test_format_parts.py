"""What files are read with, piece by piece: opcodes, bytes, blocks, parts of tensors, each against the plain way."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import pickle
import stat
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import setol_ww as ww
from setol_ww.formats import blocks, fingerprint, numpy_file, registry, remote, stored, urls
from setol_ww.formats.blocks import DeflatedBlock, FileBlock, InsideBlock, MemoryBlock, OtherFileBlock
from setol_ww.formats.computed import Coded, all_places
from setol_ww.formats.handle import Handle, NoText, Refused, Window, reading
from setol_ww.formats.pickles import Global, Machine, Placeholder, Source, hashable, word_of
from setol_ww.formats.reader import _readers, forget, opened
from setol_ww.formats.remote import Info, RemoteHandle, RemotePath
from setol_ww.formats.steps import step_of
from setol_ww.formats.stored import Stored, contiguous


def refusal(ask: Any, kind: type[BaseException] = ww.UnreadableCheckpoint) -> str:
    with pytest.raises(kind) as told:
        ask()
    return str(told.value)


def handle_on(path: Path, content: bytes) -> Handle:
    path.write_bytes(content)
    return Handle(path)


def open_in(folder: Path) -> list[str]:
    """The files of a folder that this process has open."""
    found = []
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(one))
    return [name for name in found if name.startswith(str(folder))]


# Opcodes of pickles.


def run(pickled: bytes, **more: Any) -> Any:
    return Machine(Source.of(pickled), **more).run()


VALUES = [
    *(None, True, False, 0, 1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -1, -(2**31), -(2**31) - 1, 2**64, -(10**30)),
    *(0.0, -1.5, 1e300, "", "a", "é", "\ud800", "x" * 300, b"", b"y", b"z" * 300, (), (1,), (1, 2), (1, 2, 3)),
    *((1, 2, 3, 4), [], [1, [2]], {}, {"a": {"b": (1, "c")}}, {1: 2, None: 3, (4, "e"): [5]}, bytes(range(256))),
    *(list(range(2000)), {str(key): key for key in range(2000)}, "é" * 70_000, b"b" * 70_000),
]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_those_that_were_pickled(protocol):
    """As Python's own machine has them; protocols 0 to 2 write bytes as a call."""
    from setol_ww.formats.torch_objects import Maker

    # Empty bytes are to Python 2 a call of their class.
    for value in (one for one in VALUES if protocol > 2 or one != b""):
        found = run(pickle.dumps(value, protocol), constructors=Maker(0).table)
        assert found == value
        assert type(found) is type(value)
    shared = ["a"]
    first, second = run(pickle.dumps([shared, shared], protocol))
    assert first is second


@pytest.mark.parametrize(
    ("pickled", "value"),
    [
        (b"I01\n.", True),
        (b"I00\n.", False),
        (b"I12\n.", 12),
        (b"L-34L\n.", -34),
        (b"L34\n.", 34),
        (b"F1.5\n.", 1.5),
        (b"V\\u00e9a\n.", "éa"),
        (b"(I1\nI2\nt.", (1, 2)),
        (b"(I1\nI2\nl.", [1, 2]),
        (b"(I1\nI2\nI3\nI4\nd.", {1: 2, 3: 4}),
        (b"I7\np3\n0g3\n.", 7),
        (b"K\x07q\x030h\x03.", 7),
        (b"K\x07r\x03\0\0\x000j\x03\0\0\0.", 7),
        (b"K\x07\x940h\0.", 7),
        (b"K\x01K\x022\x86.", (2, 2)),
        (b"(K\x01(1K\x02t.", (1, 2)),
        (b"(K\x01(0K\x02t.", (1, 2)),
        (b"K\x09K\x01K\x02K\x03\x87\x86.", (9, (1, 2, 3))),
        (b"]K\x01a.", [1]),
        (b"}K\x01K\x02s.", {1: 2}),
        (b"\x80\x05\x95" + bytes(8) + b"K\x01.", 1),
        (b"\x8a\x01\xff.", -1),
        (b"\x8b\x02\0\0\0\xff\0.", 255),
        (b"U\x01a.", "a"),
        (b"U\x01\xff.", b"\xff"),
        (b"T\x01\0\0\0a.", "a"),
        (b"J\xff\xff\xff\xff.", -1),
        (b"M\x01\x02.", 513),
        (b"G\x3f\xf8" + bytes(6) + b".", 1.5),
    ],
)
def test_an_opcode_makes_its_value(pickled, value):
    found = run(pickled)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (b"\x80\x06.", "it is of a protocol after 5"),
        (b"\xff.", r"the opcode b'\xff' at byte 0"),
        (b"N\xff.", r"the opcode b'\xff' at byte 1"),
        (b".", "it takes from an empty stack"),
        (b"t.", "it goes back to a mark that is not there"),
        (b"N\x86.", "it takes from an empty stack"),
        (b"NN\x87.", "it takes from an empty stack"),
        (b"h\0.", "the memo has nothing at 0"),
        (b"}K\x01(K\x02u.", "a key without a value"),
        (b"T\xff\xff\xff\xff.", "a length below 0"),
        (b"NQ.", "it names an object that lies outside of it"),
        (b"Pa\n.", "it names an object that lies outside of it"),
        (b"NNR.", "it calls a NoneType with a NoneType of arguments"),
        (b"cos\nsystem\n)R.", "loaded elsewhere it would call os.system"),
        (b"cposix\nsystem\n)R.", "loaded elsewhere it would call posix.system"),
        (b"cos.path\njoin\n)R.", "loaded elsewhere it would call os.path.join"),
        (b"cbuiltins\neval\n)R.", "loaded elsewhere it would call builtins.eval"),
        (b"c__builtin__\nopen\n)R.", "loaded elsewhere it would call __builtin__.open"),
        (b"(ios\nsystem\n.", "loaded elsewhere it would call os.system"),
        (b"(cos\nsystem\no.", "loaded elsewhere it would call os.system"),
        (b"cos\nsystem\n)}\x92.", "loaded elsewhere it would call os.system"),
        (b"cos\nsystem\n)\x81.", "loaded elsewhere it would call os.system"),
        (b"I" + b"1" * 257 + b"\n.", "an integer of 257 digits"),
        (b"\x8a\xff", "the pickle asks for 255 bytes where 0 are left"),
        (b"B\x05\0\0\0ab", "the pickle asks for 5 bytes where 2 are left"),
        (b"}](NNe.", "it takes"),
    ][:-1],
)
def test_a_pickle_of_nonsense_is_refused_with_its_reason(pickled, said):
    assert said in refusal(lambda: run(pickled), Refused)


def test_integers_have_an_end():
    """Of 256 digits or bytes they are read."""
    assert run(b"I" + b"1" * 256 + b"\n.") == int("1" * 256)
    assert run(b"\x8b" + struct.pack("<i", 256) + b"\1" * 256 + b".") == int.from_bytes(b"\1" * 256, "little")
    assert "257 bytes" in refusal(lambda: run(b"\x8b" + struct.pack("<i", 257) + b"\1" * 257 + b"."), Refused)


def test_calls_are_placeholders_that_remember():
    made = run(b"cmy.own\nThing\n(K\x01K\x02tR.")
    assert (str(made.what), made.args, made.state, made.items, made.entries) == ("my.own.Thing", (1, 2), None, [], {})
    built = run(b"cmy.own\nThing\n)R}K\x01K\x02sb.")
    assert built.attributes() == {1: 2}
    slots = run(b"cmy.own\nThing\n)R}K\x01K\x02s}\x86b.")
    assert slots.attributes() == {1: 2}
    filled = run(b"cmy.own\nThing\n)R(K\x01K\x02eK\x03K\x04s.")
    assert (filled.items, filled.entries) == ([1, 2], {3: 4})
    assert run(b"(cmy\nThing\nK\x05o.").args == (5,)
    assert run(b"(K\x05imy\nThing\n.").args == (5,)
    assert run(b"cmy\nThing\n(K\x05t}\x92.").args == (5,)
    assert run(b"X\x02\0\0\0myX\x05\0\0\0Thing\x93.") == Global("my", "Thing")
    assert run(b"\x8f(K\x01K\x02\x90.").items == [1, 2]
    assert run(b"(K\x01K\x02\x91.").items == [1, 2]
    twice = run(b"cmy\nThing\n)R)R.")
    assert isinstance(twice.what, Placeholder)
    assert (word_of(made), word_of(twice), word_of(3)) == ("my.own.Thing", "placeholder", "int")
    assert Placeholder("x").attributes() == {}
    assert run(b"Pa\n.", persistent=lambda key: key + "!") == "a!"
    assert run(b"K\x03Q.", persistent=lambda key: key + 1) == 4
    table = {("my", "Thing"): lambda machine, *args: args}
    assert run(b"cmy\nThing\n(" + b"K\x01" * 16 + b"tR.", constructors=table) == (1,) * 16
    assert isinstance(run(b"cmy\nThing\n(" + b"K\x01" * 17 + b"tR.", constructors=table), Placeholder)


def test_keys_are_hashed_in_no_time():
    short, long = (1, "a", None, b"x", 1.5), tuple(range(17))
    assert [hashable(key) for key in (None, "a", 3, short, tuple(range(16)))] == [None, "a", 3, short, tuple(range(16))]
    for key in (long, ((1,),), object()):
        found = hashable(key)
        assert isinstance(found, Placeholder)
        assert found.args is key
    for key in ([], {}, (1, []), ({},)):
        assert refusal(lambda key=key: hashable(key), Refused) == "a key that has none of its own: a list or dictionary"
    assert hashable((*range(16), [])) is not None


def test_copies_have_an_end():
    machine = Machine(Source.of(bytes(100)))
    machine.copies(4096)
    assert "it copies more than it holds" in refusal(lambda: machine.copies(1), Refused)
    read_on = Machine(Source.of(bytes(100)))
    read_on.source.take(10)
    read_on.copies(4096 + 40)
    assert "it copies" in refusal(lambda: read_on.copies(1), Refused)


def test_bytes_are_fetched_as_they_are_needed():
    data = bytes(range(200)) * 20_000
    asked: list[tuple[int, int]] = []

    def fetch(offset: int, size: int) -> bytes:
        asked.append((offset, size))
        return data[offset : offset + size]

    source = Source(fetch, len(data), 3)
    assert source.take(2) == data[3:5]
    assert source.take(100) == data[5:105]
    assert asked == [(3, 2**20)]
    assert source.position == 105
    assert source.take(2**21) == data[105 : 105 + 2**21]
    assert asked[1:] == [(105, 2**21)]
    rest = len(data) - source.position
    assert source.take(rest) == data[-rest:]
    assert refusal(lambda: source.take(1), Refused) == "the pickle asks for 1 bytes where 0 are left"
    line = Source(fetch, len(data), 0)
    assert line.line() == data[:10]
    assert line.position == 11
    assert line.line() == data[11:210]
    assert refusal(lambda: Source.of(b"abc").line(), Refused) == "a line without an end"
    assert Source.of(b"x" * (2**20 - 1) + b"\n").line() == b"x" * (2**20 - 1)
    assert "without an end" in refusal(lambda: Source.of(b"x" * 2**20 + b"\n").line(), Refused)


# Files and parts of them.


def test_what_goes_wrong_with_a_file_names_it(tmp_path):
    path = tmp_path / "a"

    def raising(error: BaseException) -> Any:
        with reading(path):
            raise error

    broken = [
        *(OSError("x"), EOFError("x"), zipfile.BadZipFile("x"), zlib.error("x"), struct.error("x"), ValueError("x")),
        *(KeyError("x"), IndexError("x"), RuntimeError("x"), TypeError("x"), AttributeError("x"), AssertionError("x")),
        *(OverflowError("x"), SyntaxError("x"), MemoryError("x"), RecursionError("x"), NotImplementedError("x")),
    ]
    for error in broken:
        said = "'x'" if isinstance(error, KeyError) else "x"
        assert refusal(lambda error=error: raising(error)) == f"{path}: {type(error).__name__}: {said}"
    assert refusal(lambda: raising(ValueError("first\nsecond"))) == f"{path}: ValueError: first"
    assert refusal(lambda: raising(ValueError(" " * 9))) == f"{path}: ValueError: no further detail"
    assert refusal(lambda: raising(ValueError("y" * 300))) == f"{path}: ValueError: {'y' * 200}"
    assert refusal(lambda: raising(Refused("odd"))) == f"{path}: refused, it is not plain weights (odd)"
    assert refusal(lambda: raising(NoText("a name")), ww.InvalidInput) == (
        f"the file {str(path)!r} was asked; it has a name, accepted are names in Unicode"
    )
    for kind in (ww.InvalidInput, ww.UnreadableCheckpoint):
        assert refusal(lambda kind=kind: raising(kind("as it is")), kind) == "as it is"
    for error in (KeyboardInterrupt(), ZeroDivisionError()):
        with pytest.raises(type(error)):
            raising(error)


def test_bytes_of_a_file_at_its_ends(tmp_path):
    with handle_on(tmp_path / "a", b"0123456789") as handle:
        assert (handle.size, handle.version) == (10, "")
        assert handle.text(0, 10) == b"0123456789"
        assert handle.text(10, 0) == b""
        assert handle.text(9, 1) == b"9"
        taken = handle.read(2, 3)
        taken[0] = 0
        assert handle.text(2, 3) == b"234"
        for offset, size in ((0, 11), (10, 1), (-1, 1), (0, -1)):
            assert refusal(lambda offset=offset, size=size: handle.text(offset, size)) == (
                f"{tmp_path / 'a'}: it is cut short: bytes {offset} to {offset + size} are asked of 10 that it has"
            )
        assert handle.same()
        (tmp_path / "b").write_bytes(b"0123456789")
        os.replace(tmp_path / "b", tmp_path / "a")
        assert not handle.same()
        descriptor = handle.descriptor
    with pytest.raises(OSError):  # noqa: PT011 whatever the system says of a descriptor that is closed
        os.fstat(descriptor)


def test_a_file_that_is_cut_while_it_is_read(tmp_path):
    with handle_on(tmp_path / "a", b"0123456789") as handle:
        os.truncate(tmp_path / "a", 4)
        assert refusal(lambda: handle.text(2, 8)) == (
            f"{tmp_path / 'a'}: it is cut short: it ended at byte 4 while it was read"
        )


def test_a_window_of_a_file(tmp_path):
    with handle_on(tmp_path / "a", b"0123456789") as handle:
        window = Window(handle, 2, 5)
        assert (window.size, window.text(0, 5), window.path) == (5, b"23456", handle.path)
        assert window.text(5, 0) == b""
        inner = Window(window, 1, 3)
        assert inner.text(0, 3) == b"345"
        for offset, size in ((0, 6), (5, 1), (-1, 1), (0, -1)):
            assert refusal(lambda offset=offset, size=size: window.text(offset, size)) == (
                f"{tmp_path / 'a'}: bytes {offset} to {offset + size} are asked of a part of 5"
            )
        for offset, size in ((0, 11), (6, 5), (-1, 3), (2, -1)):
            assert refusal(lambda offset=offset, size=size: Window(handle, offset, size)) == (
                f"{tmp_path / 'a'}: it is cut short: bytes {offset} to {offset + size} of 10 are named"
            )
        assert Window(handle, 5, 5).text(0, 5) == b"56789"
        assert [Window(handle, at, 0).text(0, 0) for at in (0, 10)] == [b"", b""]
        window.close()
        assert handle.text(0, 1) == b"0"
        assert window.same()
        (tmp_path / "a").write_bytes(b"other content")
        assert not window.same()


def test_a_stream_is_as_pythons(tmp_path):
    content = bytes(range(50))
    with handle_on(tmp_path / "a", content) as handle:
        mine, plain = handle.stream(), io.BytesIO(content)
        for move in ((5, 0), (3, 1), (-4, 2), (0, 2), (60, 0), (0, 0)):
            assert mine.seek(*move) == plain.seek(*move)
            assert mine.read(7) == plain.read(7)
            assert mine.tell() == plain.tell()
        mine.seek(45)
        assert (mine.read(), mine.read(), mine.tell()) == (content[45:], b"", 50)
        mine.seek(48)
        assert mine.read(None) == content[48:]  # type: ignore[call-arg]
        mine.seek(46)
        assert (mine.read(0), mine.readinto(bytearray()), mine.tell()) == (b"", 0, 46)
        buffer = bytearray(6)
        assert mine.readinto(buffer) == 4
        assert bytes(buffer) == content[46:] + bytes(2)
        assert (mine.readable(), mine.seekable()) == (True, True)
        assert refusal(lambda: mine.seek(-51, 2), OSError) == "a position of -1 was asked"


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (stat.S_IFDIR, "a directory"),
        (stat.S_IFIFO, "a FIFO"),
        (stat.S_IFSOCK, "a socket"),
        (stat.S_IFCHR, "a character device"),
        (stat.S_IFBLK, "a block device"),
        (0, "something else"),
    ],
)
def test_only_regular_files_are_opened(tmp_path, monkeypatch, kind, word):
    """Looked at before it is opened, and after: what the name leads to may have changed."""
    path = tmp_path / "a"
    path.write_bytes(b"x")
    for looked in ("stat", "fstat"):
        with monkeypatch.context() as patch:
            patch.setattr(os, looked, lambda *_: os.stat_result((kind, *[0] * 9)))
            assert refusal(lambda: Handle(path)) == f"{path}: it is {word}, not a regular file"
    assert open_in(tmp_path) == []


# Blocks.


def deflated(content: bytes) -> bytes:
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return machine.compress(content) + machine.flush()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("checked", [False, True])
def test_every_kind_of_block_gives_its_bytes(tmp_path, monkeypatch, shared, checked):
    """Ranges at both ends, of nothing, and of all, read by small steps."""
    monkeypatch.setattr(blocks, "CHUNK", 7)
    content = bytes(np.random.default_rng(0).integers(0, 4, 100, dtype=np.uint8))
    packed, crc = deflated(content), zlib.crc32(content) if checked else None
    (tmp_path / "b").write_bytes(b"---" + content)
    ranges = [(0, 100), (0, 0), (100, 100), (0, 1), (99, 100), (13, 58), (7, 14)]
    with handle_on(tmp_path / "a", b"<<" + content + packed + b">>") as handle:
        for start, stop in ranges:
            inflating = DeflatedBlock(102, len(packed), 100, crc)
            inflating.shared = shared
            found = {
                "file": FileBlock(2, 100, crc),
                "deflated": inflating,
                "memory": MemoryBlock(content),
                "other": OtherFileBlock(tmp_path / "b", 3, 100),
                "inside": InsideBlock(FileBlock(1, 100), 1, 101),
            }
            for name, block in found.items():
                taken = block.read(handle, start, stop)
                assert taken.tobytes() == content[start:stop], name
                assert (block.size, taken.dtype, taken.flags.writeable) == (100, np.uint8, True)
                for bad in ((-1, 3), (5, 4), (0, 101)):
                    assert refusal(lambda block=block, bad=bad: block.read(handle, *bad)).endswith(
                        f"bytes {bad[0]} to {bad[1]} are asked of a storage of 100"
                    )
        assert FileBlock(2, 100).place == (2, 100)
        assert InsideBlock(FileBlock(1, 100), 5, 101).place == (6, 100)
        assert InsideBlock(MemoryBlock(b"ab"), 5, 101).place == (0, 0)
    blocks.forget_inflated()


@pytest.mark.parametrize("whole", [True, False])
def test_a_checksum_is_looked_at_once(tmp_path, monkeypatch, whole):
    """At the first read, whatever part it is of; afterwards the bytes are taken as they are."""
    monkeypatch.setattr(blocks, "CHUNK", 7)
    content = bytes(range(100))
    stop = 100 if whole else 10
    packed = deflated(content)
    with handle_on(tmp_path / "a", content + packed) as handle:
        for make in (
            lambda crc: FileBlock(0, 100, crc, "m"),
            lambda crc: DeflatedBlock(100, len(packed), 100, crc, "m"),
        ):
            wrong = make(7)
            for _ in range(2):
                assert refusal(lambda wrong=wrong: wrong.read(handle, 0, stop)) == (
                    f"{tmp_path / 'a'}: BadZipFile: the checksum of the member 'm' is not that of its bytes"
                )
            right = make(zlib.crc32(content))
            right.read(handle, 0, stop)
            assert right.crc is None


@pytest.mark.parametrize(("declared", "said"), [(99, "more than the 99"), (101, "100 than the 101")])
def test_a_member_inflates_to_what_it_declares(tmp_path, declared, said):
    packed = deflated(bytes(100))
    with handle_on(tmp_path / "a", packed) as handle:
        block = DeflatedBlock(0, len(packed), declared, None, "m")
        assert refusal(lambda: block.read(handle, 0, declared)) == (
            f"{tmp_path / 'a'}: the member 'm' inflates to {said} bytes it declares"
        )
        # A part before the end is there all the same where nothing is checked and no piece is too long.
        if declared > 100:
            assert block.read(handle, 0, 50).tobytes() == bytes(50)
        assert block.head(handle, 10) == bytes(10)
        assert block.head(handle, 0) == b""
        assert block.head(handle, 1000) == bytes(100)
        bomb = DeflatedBlock(0, len(packed), 2**26 + 1, None, "m")
        assert refusal(lambda: bomb.read(handle, 0, 1)) == (
            f"{tmp_path / 'a'}: the member 'm' declares {2**26 + 1} bytes packed in {len(packed)}, which no weights are"
        )


def test_a_member_of_one_piece_that_goes_on_is_refused(tmp_path):
    """Read whole and without a checksum it is inflated to its end; a part of it is not."""
    packed = deflated(bytes(blocks.CHUNK + 9))
    with handle_on(tmp_path / "a", packed) as handle:
        block = DeflatedBlock(0, len(packed), blocks.CHUNK, None, "m")
        assert refusal(lambda: block.read(handle, 0, blocks.CHUNK)) == (
            f"{tmp_path / 'a'}: the member 'm' inflates to more than the {blocks.CHUNK} bytes it declares"
        )
        assert block.read(handle, 0, blocks.CHUNK - 1).tobytes() == bytes(blocks.CHUNK - 1)


def test_a_member_that_is_held_back_at_its_end_is_read_whole(tmp_path):
    """All of its bytes are taken and some of what they mean is still to come: seven zeros behind a mebibyte of them."""
    size = 2**20 + 7
    packed = deflated(bytes(size))
    with handle_on(tmp_path / "a", packed) as handle:
        assert (
            DeflatedBlock(0, len(packed), size, zlib.crc32(bytes(size))).read(handle, size - 9, size).tolist()
            == [0] * 9
        )
        short = DeflatedBlock(0, len(packed) - 1, size, None, "m")
        assert "the member 'm' inflates to" in refusal(lambda: short.read(handle, 0, size))


def test_the_storage_that_was_inflated_last_stays(tmp_path, monkeypatch):
    """One at a time, up to a size; what is handed out is a copy."""
    first, second = bytes(range(100)), bytes(range(100, 200))
    parts = [deflated(first), deflated(second)]
    inflated: list[DeflatedBlock] = []
    plain = DeflatedBlock._inflated

    def counting(self: DeflatedBlock, *asked: Any) -> np.ndarray:
        inflated.append(self)
        return plain(self, *asked)

    monkeypatch.setattr(DeflatedBlock, "_inflated", counting)
    with handle_on(tmp_path / "a", b"".join(parts)) as handle:
        one, other = DeflatedBlock(0, len(parts[0]), 100, None), DeflatedBlock(len(parts[0]), len(parts[1]), 100, None)
        one.shared = other.shared = True
        taken = one.read(handle, 0, 5)
        taken[:] = 0
        assert one.read(handle, 0, 5).tobytes() == first[:5]
        assert inflated == [one]
        assert other.read(handle, 3, 5).tobytes() == second[3:5]
        one.read(handle, 0, 1)
        assert inflated == [one, other, one]
        blocks.forget_inflated()
        one.read(handle, 0, 1)
        assert inflated == [one, other, one, one]
        monkeypatch.setattr(blocks, "KEPT", 99)
        one.read(handle, 0, 1)
        assert len(inflated) == 5
    blocks.forget_inflated()


# Tensors as they are stored, and parts of them.

INDICES: list[tuple[Any, ...]] = [
    (),
    (1,),
    (slice(1, 4),),
    (slice(None), 2),
    (slice(0, 5, 2), slice(1, None, 3)),
    (slice(4, 1),),
    (-1, -2),
    (slice(-2, None), slice(None), 1),
    (2, slice(None, None, 2), slice(1, 3)),
    (slice(3, 4), 0, 0),
]


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_part_of_a_tensor_is_that_of_its_array(tmp_path, index, swapped):
    """For either library, in either order of bytes and of axes; no more bytes are read than from first to last."""
    truth = np.arange(5 * 4 * 3, dtype="<i4").reshape(5, 4, 3)
    for order in ("C", "F"):
        laid = np.asarray(truth, order=order)  # type: ignore[call-overload]
        strides = tuple(step // 4 for step in laid.strides)
        raw = laid.astype(">i4" if swapped else "<i4").tobytes(order="A")
        with handle_on(tmp_path / "a", b"12345678" + raw) as handle:
            block = FileBlock(4, len(raw) + 4)
            for library, code in (("torch", ""), ("numpy", ">i4" if swapped else "<i4")):
                one = Stored(truth.shape, strides, "int32", 4, block, 1, library, code, swapped=swapped and not code)
                part = one.part(index)
                found = np.asarray(part.read(handle))
                np.testing.assert_array_equal(found, truth[index])
                assert (part.shape, part.n_elements) == (truth[index].shape, truth[index].size)
                start, stop = part.span()
                assert one.span() == (1, 61)
                if truth[index].size:
                    flat = laid.ravel(order="K")
                    touched = np.flatnonzero(np.isin(flat, truth[index]))
                    assert (start, stop) == (touched[0] + 1, touched[-1] + 2)
                else:
                    assert start == stop


def test_complex_numbers_of_another_machine(tmp_path):
    truth = np.array([1 + 2j, 3 - 4j], np.complex64)
    with handle_on(tmp_path / "a", truth.astype(">c8").tobytes()) as handle:
        one = Stored((2,), (1,), "complex64", 8, FileBlock(0, 16), swapped=True)
        assert one.read(handle).tolist() == truth.tolist()
        turned = Stored((2,), (1,), "complex64", 8, FileBlock(0, 16), library="numpy", code=">c8", swapped=True)
        found = turned.read(handle)
        assert found.tolist() == truth.tolist()
        assert found.dtype == np.complex64
        assert found.dtype.isnative


def test_a_few_columns_do_not_hold_the_memory_of_all(tmp_path):
    """From half of the bytes on that are read they are handed out as they are."""
    with handle_on(tmp_path / "a", np.arange(100, dtype="<f4").tobytes()) as handle:
        for library in ("torch", "numpy"):
            one = Stored(
                (10, 10),
                (10, 1),
                "float32",
                4,
                FileBlock(0, 400),
                library=library,
                code="<f4" if library == "numpy" else "",
            )
            narrow, wide = (
                one.part((slice(None), slice(0, 4))).read(handle),
                one.part((slice(None), slice(0, 5))).read(handle),
            )
            if library == "torch":
                assert narrow.untyped_storage().nbytes() == 160
                assert wide.untyped_storage().nbytes() == 380
            else:
                assert narrow.base is None or narrow.base.nbytes == 160
                assert wide.base is not None


def test_what_has_no_values_says_why(tmp_path):
    with handle_on(tmp_path / "a", bytes(64)) as handle:
        where = tmp_path / "a"
        one = Stored((2, 3), (3, 1), "float32", 4, FileBlock(0, 64))
        assert refusal(lambda: replace(one, unfit="why").read(handle)) == f"{where}: why"
        assert refusal(lambda: replace(one, block=None, unfit="gone").read(handle)) == f"{where}: gone"
        assert refusal(lambda: replace(one, strides=(0, 1)).read(handle)) == (
            f"{where}: its strides repeat values: there are fewer in the file than in its shape"
        )
        for dtype, size in (("float99", 4), ("float64", 4), ("nn", 4)):
            assert refusal(lambda dtype=dtype, size=size: replace(one, dtype=dtype, itemsize=size).read(handle)) == (
                f"{where}: the torch that is installed ({torch.__version__}) has no type {dtype}"
            )
        assert replace(one, shape=(0, 3)).read(handle).shape == (0, 3)
        assert replace(one, dtype="float99", code="float32").read(handle).dtype == torch.float32
        assert refusal(lambda: one.part((0, 0, 0)), IndexError) == (
            "the index (0, 0, 0) was asked of a tensor of 2 dimensions"
        )
        assert refusal(lambda: one.part((slice(None, None, -1),)), IndexError).endswith(
            "was asked; accepted are slices that go forward"
        )
        assert one.part((0, 0)).read(handle).shape == ()
        assert replace(one, declared=(2, 6)).part((0,)).declared is None


def test_sizes_have_their_limits():
    largest = (2**63 - 1) // 16
    assert stored.shape_of((largest,)) == (largest,)
    assert stored.shape_of((0, largest)) == (0, largest)
    assert refusal(lambda: stored.shape_of((largest + 1,)), ValueError) == "a shape with more bytes than 2**63 - 1"
    assert refusal(lambda: stored.shape_of((0, largest, 2)), ValueError) == "a shape with more bytes than 2**63 - 1"
    assert stored.sizes_of([1] * 64, "stride") == (1,) * 64
    for bad in ([1] * 65, "ab", None, {1: 2}):
        assert refusal(lambda bad=bad: stored.sizes_of(bad, "stride"), ValueError) == (
            "a stride that is no list of at most 64 integers"
        )
    assert [stored.size_of(size, "x") for size in (0, 2**63 - 1)] == [0, 2**63 - 1]
    for bad in (-1, 2**63, 1.0, True, "1", np.int64(3)):
        assert refusal(lambda bad=bad: stored.size_of(bad, "x"), ValueError) == (
            "a x that is no integer from 0 to 2**63 - 1"
        )
    assert [contiguous(shape) for shape in ((), (3,), (2, 0, 3), (2, 1, 3))] == [(), (1,), (3, 3, 1), (3, 3, 1)]
    assert stored.name_of("é") == "é"
    assert refusal(lambda: stored.name_of("a\ud800"), NoText) == r"a tensor called 'a\ud800'"
    stored.refuse_more_slices_than_bytes((5, 4, 2, 2), 20)
    stored.refuse_more_slices_than_bytes((5, 4), 1)
    stored.refuse_more_slices_than_bytes((5, 0, 4), 1)
    for shape, there in (((5, 4, 2, 2), 19), ((2, 2, 5, 4), 19), ((20, 1, 1), 19)):
        assert refusal(
            lambda shape=shape, there=there: stored.refuse_more_slices_than_bytes(shape, there), ValueError
        ) == (f"the shape {shape} has more slices than the {there} bytes behind it")


# Tensors in blocks of codes.


@pytest.mark.parametrize(
    "index",
    [*INDICES, (slice(None), slice(None), slice(5, 11)), (0, 0, 7), (slice(None), slice(None), slice(1, 12, 4))],
)
@pytest.mark.parametrize("step", [2**19, 1, 24])
@pytest.mark.parametrize("factors", [0, 1, 5])
def test_a_part_of_codes_is_that_of_the_whole(tmp_path, monkeypatch, index, step, factors):
    """Blocks of four values, twice their byte each; a factor for all, or one for each first index."""
    monkeypatch.setattr("setol_ww.formats.computed.STEP", step)
    codes = np.random.default_rng(0).integers(0, 200, (5, 4, 3), dtype=np.uint8)
    truth = np.repeat(2.0 * codes, 4, axis=2) + np.tile(np.arange(4), 3)
    scales = np.arange(2.0, 2 + factors, dtype="<f4")
    if factors:
        truth = truth * (scales[0] if factors == 1 else scales[:, None, None])

    def decode(rows: np.ndarray) -> np.ndarray:
        return (np.repeat(2.0 * rows, 4, axis=1) + np.tile(np.arange(4), rows.shape[1])).astype(np.float32)

    with handle_on(tmp_path / "a", scales.tobytes() + codes.tobytes()) as handle:
        factor = Stored((factors,), (1,), "float32", 4, FileBlock(0, 4 * factors)) if factors else None
        one = Coded(
            (5, 4, 12), (48, 12, 1), "Q", 1, FileBlock(4 * factors, 60), values="float32", whole=(5, 4, 12),
            places=all_places((5, 4, 12)), per_block=4, block_bytes=1, decode=decode, factor=factor,
        )  # fmt: skip
        part = one.part(index)
        found = part.read(handle)
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found.numpy(), truth[index])
        assert part.shape == truth[index].shape
        again = one.part((slice(1, 5), slice(None, None, 2))).part((slice(1, 3), 1))
        np.testing.assert_array_equal(again.read(handle).numpy(), truth[1:5, ::2][1:3, 1])
        assert refusal(lambda: replace(one, unfit="why").read(handle)).endswith(": why")
        for bad in ((0, 0, 0, 0), (slice(None, None, -1),)):
            refusal(lambda bad=bad: one.part(bad), IndexError)


def test_a_vector_of_codes(tmp_path):
    with handle_on(tmp_path / "a", bytes([1, 2, 3])) as handle:
        decode = lambda rows: np.repeat(rows, 2, axis=1).astype(np.float32)  # noqa: E731
        one = Coded(
            (6,), (1,), "Q", 1, FileBlock(0, 3), whole=(6,), places=all_places((6,)), per_block=2, decode=decode
        )
        assert one.read(handle).tolist() == [1, 1, 2, 2, 3, 3]
        assert one.part((slice(1, 4),)).read(handle).tolist() == [1, 2, 2]
        assert one.part((slice(4, 1),)).read(handle).tolist() == []


# By what a file is known.


def test_a_fingerprint_is_of_all_that_is_told(tmp_path):
    """Of size, number, structure and content, each by itself; up to 4 MiB every byte is content."""
    one = Stored((2, 3), (3, 1), "float32", 4, FileBlock(0, 24))
    content = bytearray(np.random.default_rng(0).bytes(5000))
    with handle_on(tmp_path / "a", bytes(content)) as handle:
        base = fingerprint.fingerprint_of(handle, {"w": one}, b"head")
        others = [
            fingerprint.fingerprint_of(handle, {"w": one}, b"Head"),
            fingerprint.fingerprint_of(handle, {"v": one}, b"head"),
            fingerprint.fingerprint_of(handle, {"w": replace(one, dtype="int32")}, b"head"),
            fingerprint.fingerprint_of(handle, {"w": replace(one, shape=(3, 2))}, b"head"),
            fingerprint.fingerprint_of(handle, {"w": replace(one, strides=(1, 2))}, b"head"),
            fingerprint.fingerprint_of(handle, {"w": one, "v": one}, b"head"),
        ]
        assert (base.size, base.tensors, len(base.digest), len(base.content)) == (5000, 1, 32, 32)
        assert {one.content for one in others} == {base.content}
        assert len({one.structure for one in (base, *others)}) == 7
        handle.version = "told"
        assert fingerprint.fingerprint_of(handle, {"w": one}, b"head").content == "told"
    for at in (0, 2500, 4999):
        changed = bytearray(content)
        changed[at] ^= 1
        with handle_on(tmp_path / "a", bytes(changed)) as handle:
            found = fingerprint.fingerprint_of(handle, {"w": one}, b"head")
            assert (found.structure, found.content != base.content) == (base.structure, True)
    fields = ({"size": 1}, {"tensors": 2}, {"structure": "x"}, {"content": "x"})
    assert len({replace(base, **field).digest for field in ({}, *fields)}) == 5
    both = [base, replace(base, size=1)]
    assert fingerprint.digest_of(both) == fingerprint.digest_of(both[::-1]) != fingerprint.digest_of(both[:1])


def test_the_places_of_a_large_file():
    """All of 4 MiB; of more both ends, 64 places, and in every tensor one place and its end."""
    assert fingerprint._places(2**22, ()) == [(0, 2**22)]
    size = 2**22 + 1
    plain = fingerprint._places(size, ())
    assert {(0, 4096), (size - 4096, 4096)} <= set(plain)
    assert 60 < len(plain) <= 66
    assert plain == sorted(plain) == fingerprint._places(size, ())
    assert all(length == 4096 and 0 <= start <= size - 4096 for start, length in plain)
    tensor = Stored((10_000,), (1,), "uint8", 1, FileBlock(100_000, 10_000))
    small = Stored((10,), (1,), "uint8", 1, FileBlock(300_000, 10))
    more = set(fingerprint._places(size, [tensor, small, tensor])) - set(plain)
    assert {(100_000 + 10_000 - 4096, 4096), (300_000, 10)} <= more
    assert len(more) == 3
    assert all(100_000 <= start <= 110_000 - 4096 or start == 300_000 for start, _ in more)


# Heads of numpy's arrays.


def header(text: str, version: int = 1, wide: bool | None = None) -> bytes:
    wide = version > 1 if wide is None else wide
    raw = text.encode("utf-8" if version == 3 else "latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + len(raw).to_bytes(4 if wide else 2, "little") + raw


SOUND = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}"


@pytest.mark.parametrize("version", [1, 2, 3])
def test_heads_of_arrays(version):
    told, start = numpy_file._header(header(SOUND, version) + b"values")
    assert told == {"descr": "<f4", "fortran_order": False, "shape": (2, 3)}
    assert start == len(header(SOUND, version))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\x93NUMP", "it does not begin as a file of numpy's does"),
        (header(SOUND)[:11], "it does not begin as a file of numpy's does"),
        (header(SOUND, 4), "a header of version 4.0; known are 1.0, 2.0 and 3.0"),
        (header(SOUND, 0), "a header of version 0.0; known are 1.0, 2.0 and 3.0"),
        (header(SOUND).replace(b"\1\0", b"\1\1", 1), "a header of version 1.1; known are 1.0, 2.0 and 3.0"),
        (header(SOUND)[:-1], "a header of 57 bytes; 56 are there, 10000 accepted"),
        (header(" " * 10_001), "a header of 10001 bytes; 10001 are there, 10000 accepted"),
        (header("[" * 21 + "]" * 21), "a header that is no list of type, order and shape"),
        (header("{'shape': -1}"), "a header that is no list of type, order and shape"),
        (header("[]"), "a header without exactly a descr, a fortran_order and a shape"),
        (header("{'descr': '<f4', 'fortran_order': False}"), "a header without exactly a descr"),
        (header(SOUND.replace("False", "0")), "a header without exactly a descr, a fortran_order and a shape"),
        (header(SOUND.replace("(2, 3)", "[2, 3]")), "a shape that is no tuple"),
    ],
)
def test_heads_that_numpy_would_not_read(head, said):
    assert said in refusal(lambda: numpy_file._header(head), ValueError)


def test_heads_at_their_limits():
    assert numpy_file._header(header(SOUND.ljust(10_000)))[1] == 10_010
    deep = "[" * 18 + "('a', '<f4')" + "]" * 18
    assert numpy_file._header(header(SOUND.replace("'<f4'", deep)))[0]["descr"] == ast.literal_eval(deep)
    refusal(lambda: numpy_file._header(header(SOUND.replace("'<f4'", f"[{deep}]"))), ValueError)
    assert numpy_file._header(header(SOUND.replace("(2, 3)", "(2L, 3L)")))[0]["shape"] == (2, 3)
    assert numpy_file._header(header(SOUND.replace("<f4", "<f-4")))[0]["descr"] == "<f-4"
    refusal(lambda: numpy_file._header(header(SOUND.replace("(2, 3)", "(2L, 3L)"), 3)), SyntaxError)
    for descr in ("<f4 ", "f4x", "<f-4", "<q8", "<f4444444444"):
        assert refusal(lambda descr=descr: numpy_file._dtype(descr), ValueError) == f"the type {descr!a}"
    assert numpy_file._dtype("<M8[ns]") == np.dtype("<M8[ns]")
    assert numpy_file._dtype([("a", "<f4")]) == np.dtype([("a", "<f4")])


def test_members_that_are_no_arrays_are_left_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes", "no array")
        archive.writestr("w.npy", header(SOUND) + bytes(24))
        archive.writestr("folder/v", header(SOUND) + bytes(24))
        archive.writestr("zz", "behind")
    reader = opened(tmp_path / "a.npz")
    assert list(reader.headers) == ["w", "folder/v"]
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        for name in ("w.npy", "w"):
            archive.writestr(name, header(SOUND) + bytes(24))
    assert refusal(lambda: opened(tmp_path / "b.npz")).endswith("two of its members stand for 'w'")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("w.npy", "no array")
    assert refusal(lambda: opened(tmp_path / "c.npz")).endswith("it does not begin as a file of numpy's does")


# Places that are no folders of this machine.


class Memory(RemotePath):
    """A place whose server gives pieces of seven bytes, and fails as it is told."""

    content: ClassVar[dict[str, bytes]] = {}
    failing: ClassVar[list[BaseException | None]] = []
    asked: ClassVar[list[tuple[int, int]]] = []
    told: ClassVar[dict[str, Info]] = {}
    extra = b""

    def info(self, fresh: bool = False) -> Info | None:
        if self.name in self.told:
            return self.told[self.name]
        return Info(len(self.content[self.name]), "v1") if self.name in self.content else None

    def iterdir(self) -> Any:
        return iter(self / name for name in self.content)

    def pieces(self, start: int, stop: int) -> Any:
        self.asked.append((start, stop))
        if self.failing:
            error = self.failing.pop(0)
            if error is not None:
                raise error
        sent = self.content[self.name][start:stop] + self.extra
        return (sent[at : at + 7] for at in range(0, len(sent), 7))


@pytest.fixture
def place(monkeypatch) -> Memory:
    for name, value in (("content", {}), ("failing", []), ("asked", []), ("told", {})):
        monkeypatch.setattr(Memory, name, value)
    remote.forget_blocks()
    yield Memory("mem://folder/a.npy?x=1")
    remote.forget_blocks()


def test_a_place_is_asked_as_a_path_is(place):
    place.content.update({"a.npy": b"0123456789", "b.txt": b"b"})
    assert (place.name, place.suffix, place.stem, str(place.parent)) == ("a.npy", ".npy", "a", "mem://folder")
    assert [Memory(url).suffix for url in ("m://x/.metadata", "m://x/a.", "m://x/a.b.c", "m://x/a/")] == [
        "",
        "",
        ".c",
        "",
    ]
    assert str(place / "c") == "mem://folder/a.npy/c"
    assert repr(place) == "Memory('mem://folder/a.npy?x=1')"
    same, other = Memory(place.url), Memory("mem://folder/b.txt")
    assert (place == same, place == other, place == str(place), hash(place) == hash(same)) == (True, False, False, True)
    assert sorted([other, place]) == [place, other]
    assert (place.exists(), place.is_file(), place.is_dir(), place.stat().st_size) == (True, True, False, 10)
    nothing = Memory("mem://folder/none")
    assert (nothing.exists(), nothing.is_file(), nothing.is_dir()) == (False, False, False)
    assert refusal(lambda: nothing.stat(), FileNotFoundError) == "mem://folder/none: nothing is there"
    assert refusal(lambda: nothing.handle(), FileNotFoundError) == "mem://folder/none: nothing is there"
    assert [one.name for one in Memory("mem://folder").glob("*.npy")] == ["a.npy"]
    assert (place.match("*.npy"), place.match("*.NPY"), place.resolve() is place) == (True, False, True)
    assert place.read_bytes() == b"0123456789"
    assert other.read_text() == "b"
    assert place.open().read(3) == b"012"
    Memory.told = {"f": Info(0, is_folder=True), "odd": Info(-1, "v")}
    assert (Memory("m://f").is_dir(), Memory("m://f").is_file()) == (True, False)
    assert refusal(lambda: Memory("m://f").handle()) == "m://f: it is a folder, not a file"
    assert refusal(lambda: Memory("m://odd").handle()) == (
        "m://odd: its server does not say how large it is; fetch it, and read the copy"
    )
    assert Memory("m://odd").hint(401) == "Give its client the rights to read it, or ask its owner"
    assert Memory("m://odd").hint(403) == Memory("m://odd").hint(401) != Memory("m://odd").hint(404)
    for ask in (RemotePath("m").info, RemotePath("m").iterdir, lambda: RemotePath("m").pieces(0, 1)):
        with pytest.raises(NotImplementedError):
            ask()


def test_small_reads_are_cut_from_blocks_that_stay(place, monkeypatch):
    monkeypatch.setattr(remote, "BLOCK", 10)
    monkeypatch.setattr(remote, "BLOCKS_KEPT", 2)
    monkeypatch.setattr(remote, "LAST_KEPT", 25)
    content = bytes(range(100))
    place.content["a.npy"] = content
    with place.handle() as handle:
        assert (handle.size, handle.version, handle.identity) == (100, "v1", (100, "v1"))
        assert handle.text(3, 4) == content[3:7]
        assert handle.text(0, 9) == content[:9]
        assert handle.text(8, 4) == content[8:12]
        assert place.asked == [(0, 10), (10, 20)]
        assert handle.text(95, 5) == content[95:]
        # Two blocks stay: the first is asked for again.
        assert handle.text(0, 1) == content[:1]
        assert place.asked[2:] == [(90, 100), (0, 10)]
        assert handle.text(50, 0) == b""
        place.asked.clear()
        # From a block on the last part stays, up to a size; what is handed out is a copy.
        taken = handle.read(20, 25)
        taken[:] = 0
        assert handle.text(20, 25) == content[20:45]
        assert place.asked == [(20, 45)]
        handle.text(20, 26)
        handle.text(20, 26)
        handle.text(20, 10)
        handle.text(20, 25)
        assert place.asked[1:] == [(20, 46), (20, 46), (20, 30), (20, 45)]
        assert "are asked of 100 that it has" in refusal(lambda: handle.text(99, 2))
        assert handle.same()
        Memory.told = {"a.npy": Info(100, "v2")}
        assert not handle.same()
        Memory.told = {"a.npy": Info(100)}
    assert place.handle().version == "unversioned"


def test_the_block_that_was_read_last_stays_the_longest(place, monkeypatch):
    monkeypatch.setattr(remote, "BLOCK", 10)
    monkeypatch.setattr(remote, "BLOCKS_KEPT", 2)
    place.content["a.npy"] = bytes(range(100))
    handle = place.handle()
    for start in (0, 10, 0, 90):
        handle.text(start, 3)
    place.asked.clear()
    handle.text(0, 3)
    handle.text(90, 3)
    assert place.asked == []
    handle.text(10, 3)
    assert place.asked == [(10, 20)]


def test_all_that_is_known_of_files_is_forgotten_at_once(place):
    """Readers, storages that were inflated, blocks and parts of remote files, what servers said."""
    place.content["a.npy"] = bytes(2**16)
    handle = place.handle()
    handle.text(0, 3)
    handle.text(0, 2**15)
    blocks._last[MemoryBlock(b"")] = np.zeros(1)  # type: ignore[index]
    urls._told["m://x"] = (0.0, None)
    assert remote._blocks.kept
    assert remote._last.kept is not None
    forget()
    assert not remote._blocks.kept
    assert remote._last.kept is None
    assert (blocks._last, urls._told, len(_readers.slots)) == ({}, {}, 0)


def test_a_request_that_fails_for_a_while_is_made_again(place, monkeypatch, caplog):
    """Each wait longer than the one before; what came before it broke off is not asked for again."""
    waits: list[float] = []
    monkeypatch.setattr(remote, "time", SimpleNamespace(sleep=waits.append))
    place.content["a.npy"] = bytes(range(100))
    place.failing += [ConnectionError("x"), TimeoutError("y"), None]
    with place.handle() as handle, caplog.at_level("INFO"):
        assert handle.text(0, 100) == bytes(range(100))
    assert waits == [0.5, 1.0]
    assert [record.getMessage() for record in caplog.records] == [
        f"{place}: {error}; the request is made again in {wait} s" for error, wait in (("x", 0.5), ("y", 1.0))
    ]
    remote.forget_blocks()
    waits.clear()
    place.failing += [ConnectionError("gone\nsecond")] * 9
    assert refusal(lambda: place.handle().text(0, 100)) == (
        f"{place}: it could not be reached in 6 tries (gone). Check the network and the address; the same call goes on "
        "with what was kept"
    )
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_server_that_sends_too_much_or_too_little(place, monkeypatch):
    monkeypatch.setattr(remote, "time", SimpleNamespace(sleep=lambda seconds: None))
    place.content["a.npy"] = bytes(range(100))
    monkeypatch.setattr(Memory, "extra", b"123")
    assert refusal(lambda: place.handle().text(0, 100)) == (
        f"{place}: its server sends other bytes than those that were asked"
    )
    monkeypatch.setattr(Memory, "extra", b"")
    place.content["a.npy"] = bytes(range(100))
    handle = place.handle()
    place.content["a.npy"] = bytes(range(50))
    said = refusal(lambda: handle.text(0, 100))
    assert "the connection ended at byte 50 of 100" in said


class Answer(Exception):
    """An error of a client with an answer of a server."""

    def __init__(self, response: Any = None, status: Any = None, headers: Any = None) -> None:
        super().__init__("answered")
        if response is not None:
            self.response = response
        if status is not None:
            self.status = status
        if headers is not None:
            self.headers = headers


class Told:
    def __init__(self, **told: Any) -> None:
        self.__dict__.update(told)


def chained(error: BaseException) -> BaseException:
    outer = OSError("outer")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "status", "wait", "absent"),
    [
        (Answer(Told(status_code=404)), 404, 0.0, True),
        (Answer(Told(status_code=410)), 410, 0.0, True),
        (Answer(Told(status_code=500, headers={"Retry-After": "7"})), 500, 7.0, False),
        (Answer({"ResponseMetadata": {"HTTPStatusCode": 404}}), 404, 0.0, True),
        (Answer({}), None, 0.0, False),
        (Answer(status=429, headers={"Retry-After": "3"}), 429, 3.0, False),
        (Answer(status=429, headers={"Retry-After": "soon"}), 429, 0.0, False),
        (chained(Answer(status=403)), 403, 0.0, False),
        (chained(Answer(status=503, headers={"Retry-After": "9"})), 503, 9.0, False),
        (FileNotFoundError("x"), None, 0.0, True),
        (chained(FileNotFoundError("x")), None, 0.0, False),
        (OSError("x"), None, 0.0, False),
    ],
)
def test_what_an_error_of_a_client_tells(error, status, wait, absent):
    assert remote.status_of(error) == status
    assert remote.wait_asked_by(error) == wait
    assert remote.is_absent(error) is absent
    assert remote.status_of(None) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 425, 429, 500, 501, 502, 503, 504])
def test_which_answers_are_lasting(place, monkeypatch, status):
    waits: list[float] = []
    monkeypatch.setattr(remote, "time", SimpleNamespace(sleep=waits.append))
    error = Answer(status=status)
    if status in (408, 425, 429, 500, 502, 503, 504):
        remote.wait_or_refuse(place, error, 4)
        assert waits == [8.0]
        assert "answered with status" in refusal(lambda: remote.wait_or_refuse(place, error, 5))
        slow = Answer(status=status, headers={"Retry-After": "100"})
        remote.wait_or_refuse(place, slow, 0)
        assert waits[-1] == 60.0
    else:
        kind = remote.Forbidden if status in (401, 403) else ww.UnreadableCheckpoint
        with pytest.raises(ww.UnreadableCheckpoint) as told:
            remote.wait_or_refuse(place, error, 0)
        assert type(told.value) is kind
        assert str(told.value) == (
            f"{place}: its server answered with status {status} (answered). {place.hint(status)}"
        )
        assert waits == []
    with pytest.raises(remote.Forbidden):
        remote.wait_or_refuse(place, PermissionError("no"), 0)


def test_asking_again_until_there_is_an_answer(place, monkeypatch):
    monkeypatch.setattr(remote, "time", SimpleNamespace(sleep=lambda seconds: None))
    answers: list[Any] = [OSError("x"), TimeoutError("y"), 3]

    def ask() -> Any:
        found = answers.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    assert remote.asked_again(place, ask) == 3
    answers[:] = [FileNotFoundError("none")]
    assert remote.asked_again(place, ask) is None
    answers[:] = [ww.UnreadableCheckpoint("as it is")]
    assert refusal(lambda: remote.asked_again(place, ask)) == "as it is"
    answers[:] = [OSError("x")] * 9
    assert "in 6 tries" in refusal(lambda: remote.asked_again(place, ask))
    assert isinstance(RemoteHandle, type)


# Formats by their endings, steps by their names.


def test_notes_that_are_no_weights_are_told(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n"
    for name, content, said in (
        ("a.safetensors", pointer, "it is a Git LFS pointer, a note where the weights are to be: fetch them with"),
        ("b.npy", b"<!DOCTYPE html><p>", "it is a web page, as a download writes that was refused: fetch the file"),
        ("c.pt", b"  <HTML>", "it is a web page"),
    ):
        (tmp_path / name).write_bytes(content)
        assert said in refusal(lambda name=name: opened(tmp_path / name))
    with handle_on(tmp_path / "d.npy", pointer.ljust(1024)) as handle:
        registry.refuse_notes(handle)
    with handle_on(tmp_path / "d.npy", pointer.ljust(1023)) as handle:
        refusal(lambda: registry.refuse_notes(handle))
    with handle_on(tmp_path / "e.npy", b"<html".ljust(2**20 + 1)) as handle:
        registry.refuse_notes(handle)
    with handle_on(tmp_path / "e.npy", b"<html".ljust(2**20)) as handle:
        refusal(lambda: registry.refuse_notes(handle))
    (tmp_path / "f.npz").write_bytes(b"neither nor")
    assert refusal(lambda: opened(tmp_path / "f.npz")) == (
        f"{tmp_path / 'f.npz'}: its first bytes are those of none of the formats with its ending"
    )
    told = refusal(lambda: opened(tmp_path / "a.xyz"), ww.InvalidInput)
    assert (
        told == f"the file {str(tmp_path / 'a.xyz')!r} was asked; accepted endings are {', '.join(registry.accepted())}"
    )
    assert registry.accepted()[:6] == (".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt")
    assert len(set(registry.accepted())) == len(registry.accepted())
    torchs = {ending for one in registry.FORMATS for ending in one.endings if registry.needs_torch(Path(f"a{ending}"))}
    assert torchs.isdisjoint({".npz", ".npy", ".keras", ".h5", ".hdf5"})
    assert {".safetensors", ".gguf", ".onnx", ".msgpack"} <= torchs


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step_12.pt", 12),
        ("step12-epoch9.pt", 12),
        ("a-STEP-3-step-7.pt", 7),
        ("v2-0100.pt", 100),
        ("step--5.pt", 5),
        ("last.pt", None),
        ("checkpoint.5.pt", 5),
    ],
)
def test_the_step_in_a_name(name, step):
    assert step_of(Path(name)) == step


def test_the_step_that_trainer_noted(tmp_path):
    folder = tmp_path / "checkpoint-3.5"
    folder.mkdir()
    assert step_of(folder) == 5
    for text, step in (('{"global_step": 80}', 80), ('{"global_step": "80"}', 5), ("[]", 5), ("{", 5), ("{}", 5)):
        (folder / "trainer_state.json").write_text(text)
        assert step_of(folder) == step
