"""The version of the package, for whatever says what it was made by."""

VERSION = "0.3.0"
