"""Calls on the workers of a Dask scheduler, none of which is waited for without a limit.

Which worker gets which chunk of calls is decided here: the scheduler would leave a worker's tasks
with it for minutes after its last sign of life, and would give some to workers that have other
code.
"""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass
from typing import Any

from bayes_crlm.tasks.calls import Call, ChunkReport, code_in_use, refuse_other_code, run_chunk
from bayes_crlm.tasks.workers import ThisProcess, WorkerDiedError
from bayes_crlm.words.errors import ExecutorError
from bayes_crlm.words.wording import one_line

CONNECT_SECONDS = 5
FIRST_WORKER_SECONDS = 30
# once a worker has answered, how long others are waited for; they may still come later
OTHERS_SECONDS = 5
# how long the scheduler and a worker may leave a question, or be, without a sign of life
ANSWER_SECONDS = 60
# how long a scheduler may be without any worker before a run gives up
NO_WORKER_SECONDS = 60
# how often the workers are counted
LOOK_SECONDS = 1.0
HANG_UP_SECONDS = 5
# with how many dying workers a chunk may have been before it is suspected: Dask's own number
MOST_DEATHS = 3


@dataclass(eq=False)
class Chunk:
    """Calls on their way: what is promised of them, and Dask's future where they are now."""

    calls: Sequence[Call]
    report: "Future[ChunkReport]"
    deaths: int = 0
    sent: Any = None


@dataclass(eq=False)
class Worker:
    """A worker in use, and its signs of life: the last by its scheduler's clock, and by ours."""

    shared: Any
    last_seen: float
    heard_at: float
    chunk: Chunk | None = None


def check_executor(address: str | None, jobs: int | None) -> None:
    """Refuse what is not a scheduler's address, and jobs beside it; nothing is connected.

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
            f"executor {address!r}: is not a scheduler's address; write tcp://HOST:PORT"
        )


class DaskWorkers(ThisProcess):
    """Sends chunks of calls to the workers of a running Dask scheduler, one at a time to each.

    What a worker had that dies or stops answering is sent to another one.
    """

    def __init__(
        self, address: str, shared: bytes | None, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        """Connect, and wait for workers that have the same code as this process.

        Parameters
        ----------
        address : str
            ``tcp://HOST:PORT``
        shared : bytes or None
            The pickled value that every call gets.
        tell : callable
            Told, in one sentence each, which workers are left out.

        Raises
        ------
        ExecutorError
            When the address is malformed, the package `distributed` is missing, nothing
            answers, there is no worker, or one of them has other code.
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
        super().__init__(shared)
        self.code, self.tell = code_in_use(), tell
        self.workers: dict[str, Worker] = {}
        self.asked: dict[str, tuple[Future[Any], float]] = {}
        # workers that are not used, with their last sign of life if it is that which is missing
        self.left_out: dict[str, float | None] = {}
        self.unsent: deque[Chunk] = deque()
        self.settling = threading.Lock()
        self.looked_at = 0.0
        self.client = connect(distributed, address, self.where)
        try:
            self.find_first_workers()
        except BaseException:
            self.close(is_done=False)
            raise
        self.last_used = time.monotonic()

    @property
    def count(self) -> int:
        """How many workers are in use; 1 where there are none for the moment."""
        return max(1, len(self.workers))

    @property
    def most_in_flight(self) -> int:
        """A chunk for each worker: what waits behind a long one could be done by another."""
        return self.count

    def find_first_workers(self) -> None:
        """Ask the workers for their code, and wait for answers.

        Raises
        ------
        ExecutorError
            When there are no workers, none answers, or one has other code.
        """
        began = time.monotonic()
        first_at = None
        while True:
            found = self.look(is_start=True)
            now = time.monotonic()
            if self.workers and not self.asked:
                return
            if self.workers and first_at is None:
                first_at = now
            if first_at is not None and now - first_at >= OTHERS_SECONDS:
                return
            if self.left_out and not self.asked and not self.workers:
                raise ExecutorError(
                    f"{self.where}: none of its workers has answered for {ANSWER_SECONDS} seconds; "
                    "restart them, or leave the executor out to use processes on this machine"
                )
            if not found and now - began >= FIRST_WORKER_SECONDS:
                raise ExecutorError(
                    f"{self.where}: has no workers; start some with `dask worker tcp://HOST:PORT`"
                )
            time.sleep(0.05)

    def look(self, *, is_start: bool = False) -> dict[str, float]:
        """See which workers are there, which answer, and send elsewhere what is to be."""
        try:
            found = within_limit(self.where, self.list_workers)
        except (OSError, TimeoutError) as problem:
            raise ExecutorError(f"{self.where}: the scheduler has gone") from problem
        now = time.monotonic()
        for address in list(self.workers):
            self.follow(address, found.get(address), now)
        for address in (self.asked.keys() | self.left_out.keys()) - found.keys():
            self.asked.pop(address, None)
            self.left_out.pop(address, None)
        for address, last_seen in found.items():
            if self.left_out.get(address) not in (None, last_seen):
                del self.left_out[address]  # it has come back to life
            if not any(address in each for each in (self.workers, self.asked, self.left_out)):
                self.asked[address] = (in_a_thread(lambda a=address: self.code_of(a)), now)
        for address, (answer, since) in list(self.asked.items()):
            if answer.done():
                del self.asked[address]
                self.take(address, answer, found[address], is_start=is_start)
            elif now - since >= ANSWER_SECONDS:
                del self.asked[address]
                self.leave_out_silent(address, found[address])
        self.send()
        return found

    def list_workers(self) -> dict[str, float]:
        """Ask the scheduler for its workers' addresses and when each last gave a sign of life."""
        # Client.scheduler_info gives old news where nothing answers
        identity = self.client.sync(self.client.scheduler.identity, n_workers=-1)
        return {name: each["last_seen"] for name, each in identity["workers"].items()}

    def code_of(self, address: str) -> Any:
        """Ask a worker for its code; gives what it raises in place of an answer."""
        return self.client.run(code_in_use, workers=[address], on_error="return")[address]

    def follow(self, address: str, last_seen: float | None, now: float) -> None:
        """Keep a worker in use as long as it gives signs of life."""
        worker = self.workers[address]
        if last_seen is None:
            del self.workers[address]
            self.take_back(worker.chunk, deaths=1)
        elif last_seen != worker.last_seen:
            worker.last_seen, worker.heard_at = last_seen, now
        elif now - worker.heard_at >= ANSWER_SECONDS:
            del self.workers[address]
            self.take_back(worker.chunk, deaths=0)
            self.leave_out_silent(address, last_seen)

    def take(
        self, address: str, answer: "Future[Any]", last_seen: float, *, is_start: bool
    ) -> None:
        """Use a worker that has answered, unless its code is another."""
        try:
            found = answer.result()
        except Exception as problem:  # of whatever it has instead of this package
            found = problem
        try:
            if not isinstance(found, dict):
                raise ExecutorError(
                    f"{self.where}: worker {address} cannot use bayes_crlm ({one_line(found)}); "
                    f"install version {self.code['bayes_crlm']} there"
                )
            refuse_other_code(self.code, found, f"{self.where}: worker {address}")
        except ExecutorError as problem:
            if is_start:
                raise
            self.left_out[address] = None
            self.tell(f"{problem}; it is left out")
            return
        shared = None
        if self.shared is not None:
            # each worker has its own: none waits for another that may not answer
            shared = self.client.submit(bytes, self.shared, workers=[address], pure=False)
        self.workers[address] = Worker(shared, last_seen, time.monotonic())

    def leave_out_silent(self, address: str, last_seen: float) -> None:
        """Go on without a worker until it gives another sign of life."""
        self.left_out[address] = last_seen
        if self.workers:  # otherwise the run ends with a sentence, or another one comes
            self.tell(
                f"{self.where}: worker {address} has not answered for {ANSWER_SECONDS} seconds and "
                "is left out"
            )

    def submit(self, calls: Sequence[Call]) -> "Future[ChunkReport]":
        """Send calls to a worker that has none, now or when there is one."""
        chunk = Chunk(calls, Future())
        self.unsent.append(chunk)
        self.send()
        return chunk.report

    def send(self) -> None:
        """Give the workers that have nothing to do what is still to be sent."""
        for address, worker in self.workers.items():
            if worker.chunk is not None and not worker.chunk.report.done():
                continue
            worker.chunk = self.unsent.popleft() if self.unsent else None
            if worker.chunk is not None:
                sent = self.client.submit(
                    run_chunk,
                    worker.chunk.calls,
                    worker.shared,
                    self.code,
                    workers=[address],
                    pure=False,
                )
                worker.chunk.sent = sent
                in_a_thread(lambda chunk=worker.chunk, sent=sent: self.settle(chunk, sent))

    def settle(self, chunk: Chunk, sent: Any) -> None:
        """Wait for a chunk's report, which counts unless the chunk is elsewhere by now."""
        report = problem = None
        try:
            report = sent.result()
        except BaseException as raised:  # told to the thread that waits
            problem = raised
        with self.settling:
            if chunk.sent is not sent or chunk.report.done():
                return
            if report is None:
                chunk.report.set_exception(problem)
            else:
                chunk.report.set_result(report)

    def take_back(self, chunk: Chunk | None, *, deaths: int) -> None:
        """Send a chunk elsewhere, unless too many workers have died with it."""
        if chunk is None:
            return
        with self.settling:
            if chunk.report.done():
                return
            sent, chunk.sent = chunk.sent, None
            chunk.deaths += deaths
            if chunk.deaths > MOST_DEATHS:
                chunk.report.set_exception(WorkerDiedError())
            else:
                self.unsent.appendleft(chunk)
        in_a_thread(sent.cancel)

    def report(self, future: "Future[ChunkReport]") -> ChunkReport:
        """Read a finished future; raises `WorkerDiedError`, or `ExecutorError` if all is gone."""
        import asyncio

        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker as problem:
            raise WorkerDiedError from problem
        except (CancelledError, asyncio.CancelledError) as problem:
            raise ExecutorError(f"{self.where}: the scheduler has gone") from problem

    def check(self) -> None:
        """Look after the workers; they may come and go.

        Raises
        ------
        ExecutorError
            When the scheduler has gone or does not answer, or all workers are gone for
            `NO_WORKER_SECONDS`.
        """
        now = time.monotonic()
        if now - self.looked_at >= LOOK_SECONDS:
            self.look()
            self.looked_at = time.monotonic()
        signs = [worker.heard_at for worker in self.workers.values()]
        # a worker that has just come is asked for its code
        signs += [since for _, since in self.asked.values()]
        self.last_used = max([self.last_used, *signs])
        if not self.workers and now - self.last_used > NO_WORKER_SECONDS:
            raise ExecutorError(
                f"{self.where}: has had no workers that answer for {NO_WORKER_SECONDS} seconds; "
                "start some"
            )

    def close(self, *, is_done: bool) -> None:
        """Hang up, which takes back what is not done; a connection that does not answer is left."""
        wait([in_a_thread(self.client.close)], timeout=HANG_UP_SECONDS)


def in_a_thread(call: Callable[[], Any]) -> "Future[Any]":
    """Call in a thread of its own, which ends with the process at the latest."""
    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            answer.set_result(call())
        except BaseException as problem:  # told to the thread that waits
            answer.set_exception(problem)

    threading.Thread(target=ask, daemon=True).start()
    return answer


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
    answer = in_a_thread(call)
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
    for name in ("distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return within_limit(
            where,
            lambda: distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False),
        )
    except TypeError as problem:  # what Dask raises for want of a certificate
        raise ExecutorError(
            f"{where}: cannot be used without Dask's settings for TLS ({one_line(problem)}); give "
            "the certificates under distributed.comm.tls in Dask's configuration"
        ) from problem
    except (OSError, TimeoutError, ValueError) as problem:
        raise ExecutorError(
            f"{where}: no Dask scheduler answers there; start one with `dask scheduler`, "
            "or leave the executor out to use processes on this machine"
        ) from problem
