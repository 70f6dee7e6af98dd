"""Chapter MEET: where the power-law tail and the ERG tail meet and differ."""
