"""Reading a file as a table alone."""

from bayes_crlm.cohort.table.files import read_file


def read_table(source, **options):
    """The table, and the hash of the file's bytes."""
    read = read_file(source, **options)
    return read.table, read.sha256
