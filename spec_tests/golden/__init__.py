"""What was looked at once: everything that prints, is drawn, told, refused or computed, kept in `files/` and compared.

| module | what it keeps | in |
|---|---|---|
| `shown` | results as they print | `printed/` |
| `kept` | numbers and sentences of layers, laws and traps | `numbers.json` |
| `told` | helps, answers of commands, readings of tensors | `told/` |
| `kept_words` | refusals and reasons, a call for each | `words/` |
| `sayings` | advice, comparisons and the page of a report, as data | `sayings/` |
| `signatures` | how every public name is called | `signatures.txt` |
| `drawn` | every line, mark and word of the pictures | `drawings/` |

`python -m spec_tests.golden` writes all of them anew, `python -m spec_tests.golden.MODULE` one kind. Where a change is
meant, read the difference before it is committed. Words are compared to the letter, numbers as `alike` says.
"""
