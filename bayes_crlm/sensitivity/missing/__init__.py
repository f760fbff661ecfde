"""Values and follow-up that are not there."""
