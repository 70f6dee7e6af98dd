"""Chapter TRUNC: a matrix on its leading singular directions."""
