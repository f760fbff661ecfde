"""Linear algebra on one thread.

A library that spreads a matrix product over threads adds its terms in an order that depends on how
many there are, so that the last digits do, too: the same seed would not give the same draws.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Generator[None]:
    """Run the linear algebra of the libraries that are loaded on one thread."""
    # a library comes with a module that loads it, so they are looked for again (which costs as
    # much as a fifth of a small fit) when there are more modules than before
    with libraries_found_with(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def libraries_found_with(_n_modules: int) -> "ThreadpoolController":
    """Find the libraries of linear algebra that this process has loaded."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
