"""Finished rows: kept on disk one by one, merged from shards, exported as tables.

Stands on `core`; knows rows and columns, not how they were computed.
"""
