"""From columns of a table to follow-up: times, events, entries and patients."""
