"""Finished tables as text and pictures; the only room that knows matplotlib. Nothing is computed here."""
