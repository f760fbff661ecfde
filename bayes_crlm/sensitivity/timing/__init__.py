"""When treatment started."""
