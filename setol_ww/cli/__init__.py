"""The command `setol-ww`, the demonstration, and the door to the spec suite. No arithmetic."""
