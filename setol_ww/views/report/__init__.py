"""The page that one can send: a report in one file of HTML, without a network.

Reads results; computes nothing.
"""
