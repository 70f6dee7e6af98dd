"""One epoch of plain SGD for MLP3, compiled by numba: the sums of a minibatch over the pixels that are not zero.

Four pixels of five in MNIST are zero, so a step at batch size 1 touches a fifth of the first weight matrix; as matrix
products it would touch all of it. Same arithmetic as the textbook step (gradient of the mean cross-entropy of the
batch at the weights before it), in another order of summation: `spec_tests/product/test_mlp3.py` holds it against
autograd.
"""

from __future__ import annotations

import numba
import numpy as np


def sparse_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows as (starts, columns, values) of the entries that are not zero."""
    rows, columns = np.nonzero(x)
    starts = np.searchsorted(rows, np.arange(len(x) + 1))
    return starts.astype(np.int64), columns.astype(np.int32), x[rows, columns].astype(np.float32)


@numba.njit(fastmath=True, cache=True, boundscheck=False, error_model="numpy")
def epoch(starts, columns, values, hidden, labels, order, batch, rates, decays, w1, b1, w2, b2, w3, b3):
    """Train in place on the samples in `order`; weights are (inputs, outputs).

    `rates` has a rate for each layer, 0 for one that does not move; `decays` its weight decay: a weight, not a
    bias, loses rate x decay of itself in a step.

    `hidden` has the activations of the first layer where it does not move, a row a sample, and no rows where it does:
    they are then computed from the pixels (three quarters of the work of a net that trains its second layer alone).

    Returns the mean loss and the share of wrong answers, both as they came up, before each step.
    """
    n1, n2, n3 = w1.shape[1], w2.shape[1], w3.shape[1]
    h1 = np.empty((batch, n1), np.float32)
    h2 = np.empty((batch, n2), np.float32)
    d1 = np.empty((batch, n1), np.float32)
    d2 = np.empty((batch, n2), np.float32)
    d3 = np.empty((batch, n3), np.float32)
    active = np.empty(n1, np.int64)
    shrink = (1 - rates * decays).astype(np.float32)
    total, wrong, steps = 0.0, 0, 0
    for first in range(0, len(order), batch):
        size = min(batch, len(order) - first)
        loss = 0.0
        for s in range(size):
            sample = order[first + s]
            if len(hidden):
                h1[s] = hidden[sample]
            else:
                h1[s] = b1
                at, stop = starts[sample], starts[sample + 1]
                _add_rows(values[at:stop], columns[at:stop], w1, h1[s])
            count = _positive(h1[s], active)
            for i in range(n1):
                h1[s, i] = max(h1[s, i], np.float32(0.0))
            h2[s] = b2
            _add_rows(h1[s][active[:count]], active[:count], w2, h2[s])
            d3[s] = b3
            for i in range(n2):
                if h2[s, i] > 0:
                    _axpy(h2[s, i], w3[i], d3[s])
                else:
                    h2[s, i] = 0
            largest = 0
            for j in range(n3):
                if d3[s, j] > d3[s, largest]:
                    largest = j
            wrong += largest != labels[sample]
            shift = d3[s, largest]
            loss -= d3[s, labels[sample]] - shift
            norm = np.float32(0.0)
            for j in range(n3):
                d3[s, j] = np.exp(d3[s, j] - shift)
                norm += d3[s, j]
            loss += np.log(norm)
            for j in range(n3):
                d3[s, j] /= norm
            d3[s, labels[sample]] -= np.float32(1.0)
            for i in range(n2):
                d2[s, i] = _dot(w3[i], d3[s]) if h2[s, i] > 0 else np.float32(0.0)
            if rates[0] > 0:
                d1[s] = 0
                for at in range(count):
                    d1[s, active[at]] = _dot(w2[active[at]], d2[s])
        total += loss / size
        steps += 1
        for layer, weight in ((0, w1), (1, w2), (2, w3)):
            if shrink[layer] != 1:
                weight *= shrink[layer]
        step1, step2, step3 = np.float32(-rates[0] / size), np.float32(-rates[1] / size), np.float32(-rates[2] / size)
        for s in range(size):
            sample = order[first + s]
            if rates[2] > 0:
                _axpy(step3, d3[s], b3)
                for i in range(n2):
                    if h2[s, i] > 0:
                        _axpy(step3 * h2[s, i], d3[s], w3[i])
            if rates[1] > 0:
                _axpy(step2, d2[s], b2)
                for at in range(_positive(h1[s], active)):
                    _axpy(step2 * h1[s, active[at]], d2[s], w2[active[at]])
            if rates[0] > 0:
                _axpy(step1, d1[s], b1)
                for at in range(starts[sample], starts[sample + 1]):
                    _axpy(step1 * values[at], d1[s], w1[columns[at]])
    return total / steps, wrong / len(order)


@numba.njit(fastmath=True, cache=True, boundscheck=False, inline="always")
def _positive(values, found):
    """Where values are above 0, into `found`; how many. Without a branch, which would be mispredicted half the time."""
    count = 0
    for i in range(len(values)):
        found[count] = i
        count += values[i] > 0
    return count


@numba.njit(fastmath=True, cache=True, boundscheck=False, inline="always")
def _add_rows(factors, rows, matrix, out):
    """out += sum of factors[n] matrix[rows[n]], four rows at a time: `out` is read and written a quarter as often."""
    whole = len(rows) - len(rows) % 4
    for n in range(0, whole, 4):
        a, b, c, d = factors[n], factors[n + 1], factors[n + 2], factors[n + 3]
        x, y, z, w = matrix[rows[n]], matrix[rows[n + 1]], matrix[rows[n + 2]], matrix[rows[n + 3]]
        for j in range(len(out)):
            out[j] += a * x[j] + b * y[j] + c * z[j] + d * w[j]
    for n in range(whole, len(rows)):
        _axpy(factors[n], matrix[rows[n]], out)


@numba.njit(fastmath=True, cache=True, boundscheck=False, inline="always")
def _axpy(a, x, y):
    for j in range(len(y)):
        y[j] += a * x[j]


@numba.njit(fastmath=True, cache=True, boundscheck=False, inline="always")
def _dot(x, y):
    total = np.float32(0.0)
    for j in range(len(x)):
        total += x[j] * y[j]
    return total
