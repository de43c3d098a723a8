"""Run one external command: its output to a log file and to a progress callback, its children never left behind.

This is the only module that starts processes. Every command gets a session (process group) of its own, so that an
interrupt, a timeout or an exception in the callback ends the whole tree: terminate, a grace period, then kill.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hardwire.errors import ToolError

Progress = Callable[[str], None]

GRACE_SECONDS = 2.0
TAIL_LINES = 15


@dataclass(frozen=True)
class Completed:
    """A command that ended with an accepted exit status."""

    command: tuple[str, ...]
    returncode: int
    seconds: float
    """Wall-clock time."""
    log: Path | None
    tail: tuple[str, ...]
    """The last lines of its output."""


def run(
    cmd: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    timeout: float | None = None,
    tool: str | None = None,
    statuses: Sequence[int] = (0,),
) -> Completed:
    """Run `cmd` to its end and return how it went.

    Standard output and error go, merged, to the file `log` (overwritten) and line by line to `progress`. `env` adds to
    the environment. `timeout` is in seconds of wall-clock time. `tool` names the command in errors;
    `statuses` are the exit statuses that mean success.

    Raises `ToolError`, with the last lines of the output and the log's path, if the command cannot be started, ends
    with another status, or runs into the timeout. On an interrupt, a terminate signal or any exception of the
    callback the command's process group is ended first.
    """
    command = tuple(str(part) for part in cmd)
    name = tool or Path(command[0]).name
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    started = time.monotonic()
    deadline = None if timeout is None else started + timeout
    with contextlib.ExitStack() as stack:
        stack.enter_context(_terminate_as_exit())
        sink = stack.enter_context(log.open("wb")) if log is not None else None
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **env} if env else None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(
                f"{name} cannot be started: {error.strerror or error} ({command[0]})",
                hint="check the program that the variable or the search path names; `hardwire doctor` lists them",
            ) from error
        stack.callback(_end_group, process)
        for line in _lines(process, deadline):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if sink is not None:
                sink.write(line)
                sink.flush()
            tail.append(text)
            if progress is not None:
                progress(text)
        timed_out = process.poll() is None and deadline is not None and time.monotonic() >= deadline
        returncode = -1 if timed_out else process.wait()
    seconds = time.monotonic() - started
    if timed_out:
        raise ToolError(
            _failure(f"{name} was stopped after its time limit of {timeout:g} s", tail, log), hint="allow more time"
        )
    if returncode not in statuses:
        reason = f"was ended by signal {-returncode}" if returncode < 0 else f"failed with exit status {returncode}"
        raise ToolError(_failure(f"{name} {reason}", tail, log))
    return Completed(command, returncode, seconds, log, tuple(tail))


def _failure(what: str, tail: Sequence[str], log: Path | None) -> str:
    lines = [what + (f" (log: {log})" if log is not None else "")]
    lines += [f"  | {line}" for line in tail] or ["  | (it printed nothing)"]
    return "\n".join(lines)


def _lines(process: subprocess.Popen[bytes], deadline: float | None) -> Iterator[bytes]:
    """The command's output, line by line, until it has ended or the deadline has passed.

    A grandchild may hold the pipe open after the command itself has gone, so the end of file is not waited for.
    """
    assert process.stdout is not None
    stream = process.stdout
    os.set_blocking(stream.fileno(), False)
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while deadline is None or time.monotonic() < deadline:
            ended = process.poll() is not None
            if not selector.select(0.0 if ended else 0.1):
                if ended:
                    break
                continue
            chunk = stream.read(65536)
            if chunk == b"":
                if pending:
                    yield pending
                    pending = b""
                _wait_until(process, deadline)
                break
            if chunk:
                *complete, pending = (pending + chunk).split(b"\n")
                for line in complete:
                    yield line + b"\n"
    if pending:
        yield pending


def _wait_until(process: subprocess.Popen[bytes], deadline: float | None) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the command's process group, and reap the command."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        _wait_until(process, time.monotonic() + GRACE_SECONDS)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


@contextlib.contextmanager
def _terminate_as_exit() -> Iterator[None]:
    """Turn a terminate signal into SystemExit meanwhile, so that clean-up runs; leaves other handlers alone."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
