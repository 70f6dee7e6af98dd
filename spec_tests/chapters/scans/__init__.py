"""Chapter SCAN: a checkpoint, row by row."""
