"""The words of the package, which a test has to know."""

from __future__ import annotations

import pytest

from spec_tests.said import Text, allowed, known_runs, of_the_package, unknown


@pytest.fixture(scope="module")
def unsaid() -> list[Text]:
    """What no test says."""
    return of_the_package()


def test_every_refusal_is_said_by_a_test(unsaid):
    """A new one has its call in `refused_calls.py` or `refused_bytes.py`, or its words in another test."""
    assert not [str(text) for text in unsaid if text.is_refusal]


def test_every_other_sentence_is_said_by_a_test(unsaid):
    """A new one has a call in a module of `kept_words.py`, or its words in another test."""
    found = {text.key: str(text) for text in unsaid if not text.is_refusal}
    assert not [text for key, text in found.items() if key not in allowed()]


PACKAGE = '''
"""A module that is checked says nothing of itself."""
import re

SENTENCE = re.compile("a pattern is no sentence")


def pay(hours):
    """Nor is what a docstring says."""
    if hours < 0:
        raise ValueError(f"{hours} hours were asked; accepted are those of a day")
    if hours > 24:
        raise ValueError(f"{hours} hours were asked; accepted are fewer of them")
    return f"paid for {hours} hours of honest work", "the reason of it", "two words"
'''
TESTS = '''
"""Those of a day, in a docstring, are not counted."""
SAID = r"accepted are fewer\\ of them", "the reason of it"
'''


def test_words_that_no_test_says_are_found(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "package" / "pay.py").write_text(PACKAGE, encoding="utf-8")
    (tmp_path / "tests" / "test_pay.py").write_text(TESTS, encoding="utf-8")
    found = unknown(tmp_path / "package", known_runs(tmp_path / "tests"))
    assert [(text.module, text.line, text.is_refusal) for text in found] == [
        ("package/pay.py", 11, True),
        ("package/pay.py", 14, False),
    ]
    assert str(found[0]) == "package/pay.py:11:  hours were asked; accepted are those of a day"
    (tmp_path / "tests" / "words").mkdir()
    (tmp_path / "tests" / "words" / "pay.txt").write_text("are those of a day", encoding="utf-8")
    assert [text.line for text in unknown(tmp_path / "package", known_runs(tmp_path / "tests"))] == [14]
