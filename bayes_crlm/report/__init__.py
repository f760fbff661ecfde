"""Result folders and pages."""
