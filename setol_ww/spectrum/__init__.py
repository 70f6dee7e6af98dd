"""The eigenvalues of one layer and what is fitted to them: tail, ERG cut, bulk, likelihoods, windows.

Each fit looks at the spectrum by itself: `tail` and `erg` do not see each other, since two independent criteria are to
meet at alpha = 2. Stands on `linalg` and `theory`.
"""
