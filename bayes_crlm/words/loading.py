"""How modules are loaded: without looking for garbage meanwhile."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def collector_resting() -> Generator[None]:
    """Load modules meanwhile without looking for garbage.

    What a module is made of stays, and looking through it time and again takes a tenth of the time
    in which pandas is loaded.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
