"""Chapter QUAL: the layer quality in its readings."""
