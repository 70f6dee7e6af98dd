"""Chapter FARMS: the tail of pooled windows of one aspect ratio."""
