"""Many independent tasks, on processes or on the workers of a Dask scheduler."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_crlm.tasks.run import Task, TaskError, TaskResult, run_tasks

__all__ = ["Task", "TaskError", "TaskResult", "run_tasks"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: processes are not needed to draw numbers."""
    if name in __all__:
        return getattr(import_module("bayes_crlm.tasks.run"), name)
    raise AttributeError(f"module 'bayes_crlm.tasks' has no attribute {name!r}")
