"""Chapter COMP: the update between two models, and where it lies."""
