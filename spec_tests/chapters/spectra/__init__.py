"""Chapter SPEC: eigenvalues of W^T W."""
