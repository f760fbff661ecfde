"""Linear algebra on one thread.

A library that spreads a matrix product over threads adds its terms in an order that depends on how
many there are, so that the last digits do, too: the same seed would not give the same draws.
"""

from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["one_blas_thread"]


@contextmanager
def one_blas_thread() -> Generator[None]:
    """Run the linear algebra of the libraries that are loaded on one thread."""
    from threadpoolctl import ThreadpoolController

    with ThreadpoolController().limit(limits=1, user_api="blas"):
        yield
