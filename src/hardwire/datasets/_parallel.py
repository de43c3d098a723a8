"""Run independent chunks of work in processes: progress as they go, a clean end on an interrupt."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from hardwire.errors import ToolError

T = TypeVar("T")

# Says that k more pieces of work are done; raises `Stopped` where the result is no longer wanted.
Tick = Callable[[int], None]
Progress = Callable[[int, int], None]


class Stopped(Exception):
    """The main process gave up; the worker leaves its chunk."""


_done: Any = None
_stop: Any = None


def _start(done: Any, stop: Any) -> None:
    """Make this process a worker that leaves an interrupt to the main process and ends with it."""
    global _done, _stop
    _done, _stop = done, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _tick(k: int) -> None:
    if _stop.is_set():
        raise Stopped
    with _done.get_lock():
        _done.value += k


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """Keep an interrupt waiting; processes started meanwhile never get one, even before `_start` has run in them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    return work(*arguments, _tick)


@contextmanager
def _workers(processes: int, done: Any) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start, initargs=(done, stop))
    try:
        yield pool
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run_chunks(
    work: Callable[..., T],
    chunks: Sequence[tuple[Any, ...]],
    *,
    total: int,
    processes: int,
    progress: Progress | None = None,
) -> list[T]:
    """Results of work(*chunk, tick) for every chunk, in their order, whatever the number of processes.

    `work` is a function of a module, calls tick(k) as it goes, and raises errors that pickle. `progress(done, total)`
    is called in this process. With one process nothing is started.

    Raises:
        ToolError: a worker process died.
    """
    done = 0
    if progress is not None:
        progress(0, total)
    if processes == 1 or len(chunks) <= 1:

        def tick(k: int) -> None:
            nonlocal done
            done += k
            if progress is not None:
                progress(done, total)

        return [work(*chunk, tick) for chunk in chunks]

    counter = multiprocessing.get_context("spawn").Value("q", 0)
    try:
        with _workers(min(processes, len(chunks)), counter) as pool:
            with _interrupt_held():
                futures = [pool.submit(_run, work, chunk) for chunk in chunks]
            waiting = set(futures)
            while waiting:
                finished, waiting = wait(waiting, timeout=0.2)
                for future in finished:
                    future.result()
                if progress is not None and counter.value != done:
                    done = counter.value
                    progress(done, total)
            return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise ToolError(
            f"one of {processes} worker processes died before its chunk was done",
            hint="fewer processes (memory?), or processes=1; a script that starts processes needs "
            'its own code under `if __name__ == "__main__":`',
        ) from error
