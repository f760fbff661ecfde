"""What was not measured, and what balance was reached."""
