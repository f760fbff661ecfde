"""The version of the package, for whatever says what it was made by."""

__all__ = ["VERSION"]

VERSION = "0.3.0"
