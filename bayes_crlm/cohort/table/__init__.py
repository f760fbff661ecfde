"""From a file, or a table of Python, to a table of plain columns."""
