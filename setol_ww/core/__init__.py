"""What every room agrees on: exceptions, outcomes with their sentence, checks at the door, arrays of any library.

Stands on numpy alone; every room may use it.
"""
