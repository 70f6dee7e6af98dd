"""Chapter CLASS: the universality class of a layer."""
