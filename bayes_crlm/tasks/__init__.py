"""Many independent tasks, on processes or on the workers of a Dask scheduler."""

from bayes_crlm.tasks.run import Task, TaskError, TaskResult, run_tasks

__all__ = ["Task", "TaskError", "TaskResult", "run_tasks"]
