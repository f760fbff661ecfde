"""Single patients and single events."""
