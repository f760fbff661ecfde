"""The command line as a program among others: its signals, streams and temporary files.

What ends a program from outside is to end it whole: before the results are written nothing is
written, and once their writing has begun they are finished.
"""

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from bayes_crlm.words.errors import BayesCRLMError, OutputError
from bayes_crlm.words.wording import one_line, shown_name

DONE, FAULT, BAD_INPUT, UNTRUSTWORTHY, INTERRUPTED = 0, 1, 2, 3, 130
SAID = "bayes-crlm: interrupted; nothing was written\n"
SHOW_CURSOR = "\033[?25h"
ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


@dataclass
class State:
    """What a signal finds: whether results are being written, and what is to be tidied up."""

    is_writing: bool = False
    is_ours: bool = False
    tidying: list[Callable[[], str | None]] = field(default_factory=list)


state = State()


def open_streams() -> bool:
    """Put the null device where the standard streams are closed.

    Otherwise the next file that is opened gets the number of a stream, and what a library prints
    goes into it; and ``sys.stdout`` and ``sys.stderr`` are None.

    Returns
    -------
    bool
        Whether standard output was open.
    """
    is_printed = sys.stdout is not None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # the lowest number that is free is given: this one
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    return is_printed


def is_terminal(stream: Any) -> bool:
    """Whether a stream is open and somebody looks at it."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


@contextmanager
def ended_by_signals(*, is_ours: bool) -> Generator[None]:
    """End at once at a signal, with one line and status 130; let results be finished, though.

    An exception would not do: raised inside a library's callback it is lost or comes out as a
    traceback.

    Parameters
    ----------
    is_ours : bool
        Whether the process is the program's own, which ends when this is done; otherwise
        signals stay what they were, but for the time in which results are written.
    """
    state.is_ours, state.is_writing, state.tidying = is_ours, False, []
    if not is_ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    # one that is ignored, as after nohup, stays so
    heard = [
        number for number in numbers_of_signals() if signal.getsignal(number) != signal.SIG_IGN
    ]
    for number in heard:
        signal.signal(number, end)
    yield
    # the results are there: what comes while Python ends changes nothing any more
    for number in heard:
        signal.signal(number, signal.SIG_IGN)


def numbers_of_signals() -> list[int]:
    """The signals that ask a program to end, as far as the system has them."""
    return [getattr(signal, name) for name in ENDING if hasattr(signal, name)]


def end(number: int, frame: FrameType | None) -> None:
    """Leave now, unless results are being written."""
    if state.is_writing:
        return
    said = [tidy() for tidy in reversed(state.tidying)]
    text = (SHOW_CURSOR + "\n" if is_terminal(sys.stderr) else "") + SAID
    text = "".join(f"{each}\n" for each in said if each) + text
    release_semaphores()
    with suppress(OSError):
        os.write(2, text.encode())
    os._exit(INTERRUPTED)


def release_semaphores() -> None:
    """Give back what process pools hold of the system, which otherwise prints what was left."""
    pools = sys.modules.get("multiprocessing.util")
    if pools is None:
        return

    def release() -> None:
        with suppress(Exception):  # the program ends in any case
            pools._run_finalizers(0)

    # what holds a lock that this needs is stopped while the signal is handled
    thread = threading.Thread(target=release, daemon=True)
    thread.start()
    thread.join(1.0)


@contextmanager
def at_interrupt(tidy: Callable[[], str | None]) -> Generator[None]:
    """Let something be tidied up when a signal ends the program meanwhile.

    Parameters
    ----------
    tidy : callable
        Gives a sentence to say, or None.
    """
    state.tidying.append(tidy)
    try:
        yield
    finally:
        state.tidying.remove(tidy)


@contextmanager
def writing() -> Generator[None]:
    """Let no signal end the program from now on: results are written, then it ends by itself."""
    state.is_writing = True
    if state.is_ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGINT,)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        state.is_writing = False


@contextmanager
def temporary_folder(folder: Path) -> Generator[None]:
    """Give libraries a place for temporary files where the system has none.

    Parameters
    ----------
    folder : Path
        Where results go; beside it, by `bayes_crlm.report.output_folder.check_output`, folders can
        be made.
    """
    from bayes_crlm.report.output_folder import PARTIAL

    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        pass
    else:
        yield
        return
    from bayes_crlm.report.folder import locked

    beside = next(each for each in folder.parents if each.exists())
    place = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=beside))
    before = {name: os.environ.get(name) for name in ("TMPDIR", "MPLCONFIGDIR")}
    until_removed = ExitStack()
    # so that no other run takes it for an abandoned one
    until_removed.enter_context(locked(place))
    until_removed.callback(shutil.rmtree, place, ignore_errors=True)
    os.environ |= {"TMPDIR": str(place), "MPLCONFIGDIR": before["MPLCONFIGDIR"] or str(place)}
    tempfile.tempdir = str(place)
    try:
        with at_interrupt(until_removed.close):
            yield
    finally:
        tempfile.tempdir = None
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        when_processes_are_done(place, until_removed.close)


def when_processes_are_done(place: Path, remove: Callable[[], None]) -> None:
    """Remove a folder: now, or after multiprocessing, which keeps its own in it until the end."""
    pools = sys.modules.get("multiprocessing.util")
    if pools is None or not any(place.glob("pymp-*")):
        remove()
    else:
        # multiprocessing removes its own at -100, loudly if it is not there any more
        pools.Finalize(None, remove, exitpriority=-200)


def require_working_folder() -> None:
    """Refuse a working folder that was removed: no path can be told from there.

    Raises
    ------
    BayesCRLMError
        In one sentence.
    """
    try:
        os.getcwd()
    except OSError as problem:
        raise BayesCRLMError(
            "the working folder was removed or cannot be entered; change to another one"
        ) from problem


def use_agg() -> None:
    """Draw figures into files, whatever the environment says, and find out now if that fails.

    Raises
    ------
    OutputError
        When a ``matplotlibrc`` keeps matplotlib from being imported.
    """
    os.environ["MPLBACKEND"] = "agg"
    # figures are drawn with matplotlib's own settings: what a user's hold does not matter
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    named = os.environ.get("MATPLOTLIBRC", "")
    home = os.environ.get("MPLCONFIGDIR") or os.path.expanduser("~/.config/matplotlib")
    files = [Path("matplotlibrc"), Path(named), Path(named, "matplotlibrc")]
    settings = [each for each in (*files, Path(home, "matplotlibrc")) if each.is_file()]
    if not settings:
        return
    try:
        import matplotlib as mpl  # noqa: F401
    except Exception as problem:  # whatever it raises at what it reads
        raise OutputError(
            f"{shown_name(settings[0])}: matplotlib cannot be used with these settings "
            f"({one_line(problem)}); correct or remove the file"
        ) from problem
