"""Chapter LAW: closed laws of spectra against quadrature, atoms and each other."""
