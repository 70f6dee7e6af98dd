"""What is said, word for word: refusals, reasons, helps, pictures, advice."""

from __future__ import annotations

import pytest

from spec_tests.golden.kept_words import MODULES, calls, kept, told

#: Libraries without which a format cannot be asked for, by the first word of a call's name.
NEEDS = {"gguf": "gguf", "keras": "h5py", "onnx": "onnx"}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in MODULES for name in calls(module)])
def test_the_words_that_are_kept(module, name, tmp_path):
    """`python -m spec_tests.golden.kept_words` writes them anew."""
    pytest.importorskip(NEEDS.get(name.partition(":")[0], "numpy"), reason="an extra is not installed")
    assert told(calls(module)[name], tmp_path) == kept(module)[name]


@pytest.mark.parametrize("module", MODULES)
def test_all_words_are_kept_and_no_others(module):
    assert list(kept(module)) == list(calls(module))
