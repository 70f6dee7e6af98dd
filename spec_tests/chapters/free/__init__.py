"""Chapter FREE: moments, free cumulants, the R-transform and its integral."""
