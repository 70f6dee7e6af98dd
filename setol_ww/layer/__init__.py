"""Everything that one layer's spectrum says, in one result, and the register of columns that reads it.

Pure functions of a spectrum and settings: nothing is read from a file here. Stands on `spectrum` and `traps`.
"""
