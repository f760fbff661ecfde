"""From spec and cohort to a finished analysis."""
