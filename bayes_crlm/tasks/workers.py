"""Where calls are made: in this process, or in processes on this machine.

Each kind of workers, `bayes_crlm.tasks.dask_workers` too, takes a chunk of calls and gives a future
of its report.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Self

from bayes_crlm.tasks.calls import Call, ChunkReport, run_chunk
from bayes_crlm.words.errors import ExecutorError

# what a refit by importance sampling imports: loaded once, and workers are forked from there
PRELOADED = (
    "bayes_crlm.cohort.reading",
    "bayes_crlm.fit.fitting",
    "bayes_crlm.inference.importance",
    "bayes_crlm.fit.piecewise_exponential",
    "bayes_crlm.fit.tree",
    "bayes_crlm.tasks.run",
    "formulaic",
    "pandas",
    "scipy.linalg",
    "threadpoolctl",
    "xarray",
)
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")

shared_of_process: bytes | None = None


class WorkerLostError(RuntimeError):
    """The worker that had a chunk died, or answers no more; the chunk's calls have no outcome."""

    def __init__(self, *, has_died: bool) -> None:
        """Keep whether it died, by what one of the calls did perhaps."""
        super().__init__("the worker died" if has_died else "the worker does not answer")
        self.has_died = has_died


def available_cpus() -> int:
    """Count the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ThisProcess:
    """Runs calls where it is, for one job; what other kinds of workers do beside is nothing here.

    As a context it ends its workers, at once where their work is not done.

    Attributes
    ----------
    most_in_flight : int
        How many chunks may be on their way.
    most_deaths : int
        With how many dying workers a call may have been before it is run alone; after as many more
        it is given up.
    deaths : tuple of exception types
        What a chunk's future raises when its worker died.
    """

    most_in_flight = 1
    most_deaths = 0
    deaths: tuple[type[Exception], ...] = ()

    def __init__(self, shared: bytes | None) -> None:
        """Keep the pickled value that every call gets."""
        self.shared = shared

    def submit(self, calls: Sequence[Call]) -> "Future[ChunkReport]":
        """Take a chunk of calls; here they run at once, and the future is a finished one."""
        future: Future[ChunkReport] = Future()
        future.set_result(run_chunk(calls, self.shared))
        return future

    def report(self, future: "Future[ChunkReport]") -> ChunkReport:
        """Read a finished future; raises `WorkerLostError` where its worker died."""
        try:
            return future.result()
        except self.deaths as problem:
            raise WorkerLostError(has_died=True) from problem

    def check(self) -> None:
        """Look whether workers are still there."""

    def close(self, *, is_done: bool) -> None:
        """End the workers; at once, where their work is not done."""

    def __enter__(self) -> Self:
        """Give what was opened."""
        return self

    def __exit__(self, problem: type[BaseException] | None, *_: object) -> None:
        """End the workers."""
        self.close(is_done=problem is None)


class LocalProcesses(ThisProcess):
    """Runs calls in processes on this machine.

    Processes are forked from a small server that has imported what refits need and has no
    threads of samplers or plots (or started afresh, where the system has no such server).
    They end when this process does, however it ends.
    """

    deaths = (BrokenProcessPool,)

    def __init__(self, count: int, shared: bytes | None) -> None:
        """Start the first of `count` processes.

        Raises
        ------
        ExecutorError
            When it does not start.
        """
        super().__init__(shared)
        # one more than there are processes, so that none has to wait for its next chunk
        self.count, self.most_in_flight = count, count + 1
        is_served = "forkserver" in multiprocessing.get_all_start_methods()
        self.context: Any = multiprocessing.get_context("forkserver" if is_served else "spawn")
        if is_served:
            self.context.set_forkserver_preload(list(PRELOADED))
        try:
            self.start()
        except OSError:
            # the server's socket needs a temporary folder whose path is short
            self.context = multiprocessing.get_context("spawn")
            self.start()

    def start(self) -> None:
        """Open a pool and wait for its first process."""
        # processes hold the pipe's other end, and leave when this one is closed
        self.until_closed, self.lifeline = self.context.Pipe(duplex=False)
        self.pool = ProcessPoolExecutor(
            self.count,
            mp_context=self.context,
            initializer=begin_worker,
            initargs=(self.until_closed, self.shared),
        )
        try:
            with prepared_for_children():
                began = self.pool.submit(os.getpid)
            began.result()
        except BaseException as problem:
            self.close(is_done=False)
            if not isinstance(problem, BrokenProcessPool):
                raise
            raise ExecutorError(
                "worker processes do not start; a script that runs tasks must do so below "
                "`if __name__ == '__main__':`, and jobs=1 needs no workers"
            ) from problem

    def submit(self, calls: Sequence[Call]) -> "Future[ChunkReport]":
        """Send calls to whichever process is free; the death of one has ended the whole pool."""
        while True:
            try:
                with prepared_for_children():
                    return self.pool.submit(run_chunk_here, calls)
            except BrokenProcessPool:
                self.close(is_done=False)
                self.start()

    def close(self, *, is_done: bool) -> None:
        """End the processes; at once, where their work is not done."""
        if not is_done:
            self.lifeline.close()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.lifeline.close()
        self.until_closed.close()


def begin_worker(until_closed: Connection, shared: bytes | None) -> None:
    """Make a new process ready: interrupts are its parent's, and it ends with its parent."""
    global shared_of_process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=leave_when_closed, args=(until_closed,), daemon=True).start()
    shared_of_process = shared


def run_chunk_here(calls: Sequence[Call]) -> ChunkReport:
    """Run calls with the shared value that `begin_worker` left in this process."""
    return run_chunk(calls, shared_of_process)


def leave_when_closed(until_closed: Connection) -> None:
    """Wait until the other end of a pipe is closed, then leave in the middle of anything."""
    try:
        until_closed.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


@contextmanager
def prepared_for_children() -> Generator[None]:
    """Start processes meanwhile that use one BLAS thread and do not hear a terminal's Ctrl-C."""
    before = {name: os.environ[name] for name in BLAS_THREADS if name in os.environ}
    is_posix = hasattr(signal, "pthread_sigmask")
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))
    # a signal that comes now reaches this process when it is let through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if is_posix else set()
    try:
        yield
    finally:
        for name in BLAS_THREADS:
            del os.environ[name]
        os.environ.update(before)
        if is_posix:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
