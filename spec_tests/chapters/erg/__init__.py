"""Chapter ERG: the trace-log cut."""
