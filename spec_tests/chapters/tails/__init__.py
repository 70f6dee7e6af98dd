"""Chapter TAIL: the power-law tail."""
