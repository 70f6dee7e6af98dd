"""The three implementations that come with the suite."""
