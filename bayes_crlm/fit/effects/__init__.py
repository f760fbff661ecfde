"""What each kind of term reports of a fit: one file a kind."""
