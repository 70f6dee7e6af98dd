"""A forty-line implementation for the spec suite: `setol-ww spec --implementation example_implementation:make`."""

import numpy as np

from spec_tests.protocol import Cut, Implementation, Tail


class Example(Implementation):
    name, version = "example", "1"
    required = frozenset({"eigenvalues", "erg_cut", "tail_fit"})

    def eigenvalues(self, W):
        return np.sort(np.linalg.svd(W, compute_uv=False)) ** 2

    def erg_cut(self, raw):
        raw = np.sort(raw)
        rank = np.count_nonzero(raw > 1e-24 * raw[-1])
        if not rank:
            return None
        if raw[0] == raw[-1]:
            return Cut(raw.size, raw[0])
        partial = np.cumsum(np.log(raw[::-1][:rank] / raw.mean()))
        below = np.flatnonzero(partial < 0)
        k = rank if not below.size else below[0] + int(partial[below[0] - 1] > -partial[below[0]])
        return Cut(int(k), raw[-k])

    def tail_fit(self, raw):
        raw = np.sort(raw[raw > 1e-24 * raw.max()])
        best = None
        for xmin in np.unique(raw)[:-1]:
            logs = np.log(raw[raw >= xmin] / xmin)
            n, rate = logs.size, logs.size / logs.sum()
            ks = np.max(np.abs(1 - np.exp(-rate * logs) - np.arange(n) / n))
            if best is None or ks < best.ks:
                best = Tail(1 + rate, rate / np.sqrt(n), xmin, n, ks)
        return best


def make():
    return Example()
