"""Chapter GOLD: the paper's own tables. They need the real data and no implementation."""
