"""Chapter BULK: the Marchenko-Pastur bulk, its edges and its spikes."""
