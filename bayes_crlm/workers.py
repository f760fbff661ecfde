"""Where calls are made: in this process, in processes on this machine, or by Dask's workers.

Each of the three kinds of workers takes a chunk of calls and gives a future of its report.
"""

import logging
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from bayes_crlm.calls import Call, ChunkReport, code_in_use, refuse_other_code, run_chunk
from bayes_crlm.errors import ExecutorError

__all__ = [
    "DaskWorkers",
    "LocalProcesses",
    "ThisProcess",
    "WorkerDiedError",
    "available_cpus",
]

# what a refit by importance sampling imports: loaded once, and workers are forked from there
PRELOADED = (
    "arviz_stats.base",
    "bayes_crlm.cohort",
    "bayes_crlm.engines",
    "bayes_crlm.importance",
    "bayes_crlm.model",
    "bayes_crlm.posterior",
    "bayes_crlm.tasks",
    "formulaic",
    "pandas",
    "scipy.linalg",
    "threadpoolctl",
    "xarray",
)
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
CONNECT_SECONDS = 5
FIRST_WORKER_SECONDS = 30
# how long a Dask scheduler may be without any worker before a run gives up
NO_WORKER_SECONDS = 60
# and how long it may leave a question without an answer
ANSWER_SECONDS = 60


shared_of_process: bytes | None = None


class WorkerDiedError(RuntimeError):
    """The worker that had a chunk died; the chunk's calls have no outcome."""


def available_cpus() -> int:
    """Count the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ThisProcess:
    """Runs calls where it is; for one job."""

    count = 1
    most_in_flight = 1

    def __init__(self, shared: bytes | None) -> None:
        """Keep the pickled value that every call gets."""
        self.shared = shared

    def submit(self, calls: Sequence[Call]) -> "Future[ChunkReport]":
        """Run calls at once; the future is a finished one."""
        future: Future[ChunkReport] = Future()
        future.set_result(run_chunk(calls, self.shared))
        return future

    def report(self, future: "Future[ChunkReport]") -> ChunkReport:
        """Read a finished future."""
        return future.result()

    def check(self) -> None:
        """Nothing can go missing here."""

    def restart(self) -> None:
        """Nothing is to be started again."""

    def close(self, *, is_done: bool) -> None:
        """Nothing is to be ended."""


class LocalProcesses:
    """Runs calls in processes on this machine.

    Processes are forked from a small server that has imported what refits need and has no
    threads of samplers or plots (or started afresh, where the system has no such server).
    They end when this process does, however it ends.
    """

    def __init__(self, count: int, shared: bytes | None) -> None:
        """Start the first of `count` processes.

        Raises
        ------
        ExecutorError
            When it does not start.
        """
        self.count, self.most_in_flight, self.shared = count, count + 1, shared
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
        except BrokenProcessPool as problem:
            self.close(is_done=False)
            raise ExecutorError(
                "worker processes do not start; a script that runs tasks must do so below "
                "`if __name__ == '__main__':`, and jobs=1 needs no workers"
            ) from problem
        except BaseException:
            self.close(is_done=False)
            raise

    def submit(self, calls: Sequence[Call]) -> "Future[ChunkReport]":
        """Send calls to whichever process is free."""
        try:
            with prepared_for_children():
                return self.pool.submit(run_chunk_here, calls)
        except BrokenProcessPool as problem:  # a process died since the last look
            future: Future[ChunkReport] = Future()
            future.set_exception(problem)
            return future

    def report(self, future: "Future[ChunkReport]") -> ChunkReport:
        """Read a finished future; raises `WorkerDiedError`."""
        try:
            return future.result()
        except BrokenProcessPool as problem:
            raise WorkerDiedError from problem

    def check(self) -> None:
        """A process that dies fails its future; there is nothing more to look at."""

    def restart(self) -> None:
        """Open a new pool: the death of one process ends the whole pool."""
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
    before = {name: os.environ.get(name) for name in BLAS_THREADS}
    is_posix = hasattr(signal, "pthread_sigmask")
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))
    # a signal that comes now reaches this process when it is let through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if is_posix else set()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if is_posix:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def check_executor(address: str | None, jobs: int | None) -> None:
    """Refuse what is no scheduler's address, and jobs beside it; nothing is connected.

    Raises
    ------
    ExecutorError
        In one sentence.
    """
    if address is None:
        return
    if jobs is not None:
        raise ExecutorError("jobs and executor cannot both be given: jobs are on this machine")
    if not re.fullmatch(r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):[0-9]{1,5}", address):
        raise ExecutorError(
            f"executor {address!r}: is no scheduler's address; write tcp://HOST:PORT"
        )


class DaskWorkers:
    """Sends calls to the workers of a running Dask scheduler.

    The scheduler moves the calls of a worker that dies to another one, until they have been
    with more dying workers than its setting ``allowed-failures`` lets pass.
    """

    def __init__(self, address: str, shared: bytes | None) -> None:
        """Connect, and look whether the workers have the same code as this process.

        Raises
        ------
        ExecutorError
            When the address is malformed, the package `distributed` is missing, nothing
            answers, there is no worker, or a worker has other code.
        """
        self.where = f"executor {address}"
        check_executor(address, None)
        try:
            import distributed
        except ImportError as problem:
            raise ExecutorError(
                f"{self.where}: needs the package distributed; install it with "
                "`pip install 'bayes_crlm[dask]'`"
            ) from problem
        self.code = code_in_use()
        self.client = connect(distributed, address, self.where)
        try:
            self.require_same_code()
            self.pool = self.client.get_executor(pure=False)
            # a task of its own, not scattered: it can be made again when its worker dies
            self.shared = None if shared is None else self.client.submit(bytes, shared, pure=False)
        except BaseException:
            self.client.close()
            raise
        self.count, self.last_seen = 1, time.monotonic()

    @property
    def most_in_flight(self) -> int:
        """Two chunks a worker, so that none waits for the next."""
        return 2 * self.count

    def require_same_code(self) -> None:
        """Refuse workers that lack this package or have other versions."""
        try:
            self.client.wait_for_workers(1, timeout=FIRST_WORKER_SECONDS)
        except TimeoutError as problem:
            raise ExecutorError(
                f"{self.where}: has no workers; start some with `dask worker tcp://HOST:PORT`"
            ) from problem
        said = within_limit(self.where, lambda: self.client.run(code_in_use, on_error="return"))
        for worker, found in said.items():
            if not isinstance(found, dict):
                raise ExecutorError(
                    f"{self.where}: worker {worker} cannot use bayes_crlm ({found}); "
                    f"install version {self.code['bayes_crlm']} there"
                )
            refuse_other_code(self.code, found, f"{self.where}: worker {worker}")

    def submit(self, calls: Sequence[Call]) -> "Future[ChunkReport]":
        """Send calls to whichever worker the scheduler chooses."""
        return self.pool.submit(run_chunk, calls, self.shared, self.code)

    def report(self, future: "Future[ChunkReport]") -> ChunkReport:
        """Read a finished future; raises `WorkerDiedError`, or `ExecutorError` if all is gone."""
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker as problem:
            raise WorkerDiedError from problem
        except CancelledError as problem:
            raise ExecutorError(f"{self.where}: the scheduler has gone") from problem

    def check(self) -> None:
        """Count the workers; they may come and go.

        Raises
        ------
        ExecutorError
            When the scheduler has gone, or all its workers for `NO_WORKER_SECONDS`.
        """
        try:
            count = len(within_limit(self.where, self.client.nthreads))
        except (OSError, TimeoutError) as problem:
            raise ExecutorError(f"{self.where}: the scheduler has gone") from problem
        now = time.monotonic()
        if count:
            self.count, self.last_seen = count, now
        elif now - self.last_seen > NO_WORKER_SECONDS:
            raise ExecutorError(
                f"{self.where}: has had no workers for {NO_WORKER_SECONDS} seconds; start some"
            )

    def restart(self) -> None:
        """Do nothing: the scheduler goes on with the workers that it has."""

    def close(self, *, is_done: bool) -> None:
        """Take back what is not done, and hang up; the scheduler and its workers stay."""
        try:
            self.pool.shutdown(wait=is_done)
        finally:
            self.client.close()


def within_limit(where: str, call: Callable[[], Any]) -> Any:
    """Wait for an answer, but not for ever: what listens at an address may never give one.

    Parameters
    ----------
    where : str
        Whose answer it is.
    call : callable
        Asks; it goes on in a thread of its own when nothing comes.

    Raises
    ------
    ExecutorError
        After `ANSWER_SECONDS`.
    """
    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            answer.set_result(call())
        except BaseException as problem:  # told to the thread that waits
            answer.set_exception(problem)

    threading.Thread(target=ask, daemon=True).start()
    if not wait([answer], timeout=ANSWER_SECONDS).done:
        raise ExecutorError(
            f"{where}: has not answered for {ANSWER_SECONDS} seconds; look whether a Dask "
            "scheduler and its workers run there, or leave the executor out to use processes on "
            "this machine"
        )
    return answer.result()


def connect(distributed: Any, address: str, where: str) -> Any:
    """Connect to a scheduler, or say in one sentence that nothing answers."""
    # what it would log at length is raised here in a sentence
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        return within_limit(
            where,
            lambda: distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False),
        )
    except (OSError, TimeoutError, ValueError) as problem:
        raise ExecutorError(
            f"{where}: no Dask scheduler answers there; start one with `dask scheduler`, "
            "or leave the executor out to use processes on this machine"
        ) from problem
