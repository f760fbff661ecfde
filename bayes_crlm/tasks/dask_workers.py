"""Calls on the workers of a Dask scheduler, none of which is waited for without a limit.

Which worker gets which chunk of calls is decided here: the scheduler would leave a worker's tasks
with it for minutes after its last sign of life, and would give some to workers that have other
code.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from bayes_crlm.tasks.calls import Call, ChunkReport, code_in_use, refuse_other_code, run_chunk
from bayes_crlm.tasks.workers import ThisProcess, WorkerLostError
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
# of so many deaths each call of a chunk is forgiven: Dask's own number
MOST_DEATHS = 3


@dataclass(eq=False)
class Worker:
    """A worker of the scheduler: what it was asked, its signs of life, and what it does.

    Attributes
    ----------
    code : Future
        Its answer to the question for its code.
    last_seen, heard_at : float
        Its last sign of life by the scheduler's clock, and when that was seen by ours; of a worker
        that has not answered yet, when it was asked.
    state : {"asked", "in use", "silent", "refused"}
        Only those in use are sent calls; a silent one is asked again after a sign of life.
    shared : distributed.Future or None
        Its own copy of the shared value: no worker waits for another that may not answer.
    sent, report : distributed.Future, Future of ChunkReport, or None
        The last chunk of calls, as Dask has it and for the threads of this process.
    """

    code: Future[Any]
    last_seen: float
    heard_at: float
    state: Literal["asked", "in use", "silent", "refused"] = "asked"
    shared: Any = None
    sent: Any = None
    report: "Future[ChunkReport] | None" = None

    @property
    def is_busy(self) -> bool:
        """Whether it has calls that are not done."""
        return self.report is not None and not self.report.done()


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

    def __init__(self, address: str, shared: bytes | None, tell: Callable[[str], None]) -> None:
        """Connect, and wait for workers that have the same code as this process.

        Parameters
        ----------
        address : str
            ``tcp://HOST:PORT``, by `check_executor`.
        shared : bytes or None
            The pickled value that every call gets.
        tell : callable
            Told, in one sentence each, which workers are left out.

        Raises
        ------
        ExecutorError
            When the package `distributed` is missing, nothing answers, there is no worker, or one
            of them has other code.
        """
        self.where = f"executor {address}"
        try:
            import distributed
        except ImportError as problem:
            raise ExecutorError(
                f"{self.where}: needs the package distributed; install it with "
                "`pip install 'bayes_crlm[dask]'`"
            ) from problem
        super().__init__(shared)
        self.code, self.tell = code_in_use(), tell
        # workers may go at any time, and what was with them is not suspected at once
        self.most_deaths, self.deaths = MOST_DEATHS, (distributed.KilledWorker,)
        self.workers: dict[str, Worker] = {}
        self.looked_at = self.last_used = time.monotonic()
        self.client = connect(distributed, address, self.where)
        try:
            self.find_first_workers()
        except BaseException:
            self.close(is_done=False)
            raise

    @property
    def most_in_flight(self) -> int:
        """A chunk for each worker in use: what waits behind a long one could be done by another."""
        return sum(worker.state == "in use" for worker in self.workers.values())

    def find_first_workers(self) -> None:
        """Ask the workers for their code, and wait for answers.

        Raises
        ------
        ExecutorError
            When there are no workers, none answers, or one has other code.
        """
        began, first_at = time.monotonic(), None
        while True:
            self.look(is_start=True)
            now = time.monotonic()
            states = {worker.state for worker in self.workers.values()}
            if "in use" in states:
                first_at = first_at or now
                if "asked" not in states or now - first_at >= OTHERS_SECONDS:
                    return
            elif "silent" in states and "asked" not in states:
                raise ExecutorError(
                    f"{self.where}: none of its workers has answered for {ANSWER_SECONDS} seconds; "
                    "restart them, or leave the executor out to use processes on this machine"
                )
            elif not states and now - began >= FIRST_WORKER_SECONDS:
                raise ExecutorError(
                    f"{self.where}: has no workers; start some with `dask worker tcp://HOST:PORT`"
                )
            time.sleep(0.05)

    def look(self, *, is_start: bool = False) -> None:
        """See which workers are there and which of them answer."""
        try:
            found = within_limit(self.where, self.list_workers)
        except (OSError, TimeoutError) as problem:
            raise ExecutorError(f"{self.where}: the scheduler has gone") from problem
        now = time.monotonic()
        for address in self.workers.keys() - found.keys():
            self.lose(self.workers.pop(address), has_died=True)
        for address, last_seen in found.items():
            worker = self.workers.get(address)
            is_back = worker is not None and worker.state == "silent"
            if worker is None or (is_back and worker.last_seen != last_seen):
                answer = in_a_thread(lambda address=address: self.code_of(address))
                worker = self.workers[address] = Worker(answer, last_seen, now)
            if worker.state == "asked" and worker.code.done():
                self.take(address, worker, is_start=is_start)
            self.follow(address, worker, last_seen, now)
        self.last_used = max([self.last_used, *(each.heard_at for each in self.workers.values())])

    def list_workers(self) -> dict[str, float]:
        """Ask the scheduler for its workers' addresses and when each last gave a sign of life."""
        # Client.scheduler_info gives old news where nothing answers
        identity = self.client.sync(self.client.scheduler.identity, n_workers=-1)
        return {name: each["last_seen"] for name, each in identity["workers"].items()}

    def code_of(self, address: str) -> Any:
        """Ask a worker for its code; gives what it raises in place of an answer."""
        return self.client.run(code_in_use, workers=[address], on_error="return")[address]

    def follow(self, address: str, worker: Worker, last_seen: float, now: float) -> None:
        """Go on without a worker that does not answer, until it gives another sign of life."""
        if worker.state == "in use" and last_seen != worker.last_seen:
            worker.heard_at = now
        worker.last_seen = last_seen
        if worker.state in ("asked", "in use") and now - worker.heard_at >= ANSWER_SECONDS:
            worker.state = "silent"
            self.lose(worker, has_died=False)
            if self.most_in_flight:  # otherwise the run ends with a sentence, or another one comes
                self.tell(
                    f"{self.where}: worker {address} has not answered for {ANSWER_SECONDS} seconds "
                    "and is left out"
                )

    def take(self, address: str, worker: Worker, *, is_start: bool) -> None:
        """Use a worker that has answered, unless its code is another."""
        # it may have anything in the place of this package
        found = worker.code.exception() or worker.code.result()
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
            worker.state = "refused"
            self.tell(f"{problem}; it is left out")
            return
        if self.shared is not None:
            worker.shared = self.client.submit(bytes, self.shared, workers=[address], pure=False)
        worker.state, worker.heard_at = "in use", time.monotonic()

    def submit(self, calls: Sequence[Call]) -> "Future[ChunkReport]":
        """Send calls to a worker that has none; there is one, by `most_in_flight`."""
        address, worker = next(
            (address, worker)
            for address, worker in self.workers.items()
            if worker.state == "in use" and not worker.is_busy
        )
        worker.sent = self.client.submit(
            run_chunk, calls, worker.shared, self.code, workers=[address], pure=False
        )
        worker.report = in_a_thread(worker.sent.result)
        return worker.report

    def lose(self, worker: Worker, *, has_died: bool) -> None:
        """Wait no longer for what a worker had, unless its report has come meanwhile."""
        with suppress(InvalidStateError):
            if worker.report is not None:
                worker.report.set_exception(WorkerLostError(has_died=has_died))
                in_a_thread(worker.sent.cancel)

    def report(self, future: "Future[ChunkReport]") -> ChunkReport:
        """Read a finished future; raises `WorkerLostError`, or `ExecutorError` if all is gone."""
        import asyncio

        try:
            return super().report(future)
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
        if time.monotonic() - self.looked_at >= LOOK_SECONDS:
            self.look()
            self.looked_at = time.monotonic()
        if not self.most_in_flight and time.monotonic() - self.last_used > NO_WORKER_SECONDS:
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
        except BaseException as problem:  # told to the thread that waits, if it still does
            with suppress(InvalidStateError):
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
