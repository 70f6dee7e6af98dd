"""Chapter TRAP: correlation traps by randomisation. Small matrices keep weightwatcher's own fit affordable."""
