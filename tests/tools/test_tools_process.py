from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import hardwire
from hardwire.errors import ToolError
from hardwire.tools.process import run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups")


def script(folder: Path, text: str) -> list[str]:
    path = folder / "program.sh"
    path.write_text("#!/bin/sh\n" + textwrap.dedent(text))
    return ["/bin/sh", str(path)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def gone(pid: int, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def wait_for(path: Path) -> int:
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


def test_output_reaches_the_log_and_the_callback_in_order(tmp_path: Path) -> None:
    lines: list[str] = []
    command = script(tmp_path, "echo one; echo two >&2; printf 'last without newline'")
    done = run(command, cwd=tmp_path, log=tmp_path / "log", progress=lines.append)
    assert lines == ["one", "two", "last without newline"]
    assert (tmp_path / "log").read_text() == "one\ntwo\nlast without newline"
    assert done.returncode == 0
    assert done.tail == tuple(lines)


def test_environment_is_added_to(tmp_path: Path) -> None:
    done = run(script(tmp_path, 'echo "$EXTRA:$PATH"'), env={"EXTRA": "7"})
    assert done.tail == (f"7:{os.environ['PATH']}",)


def test_a_failure_carries_the_last_lines_and_the_log(tmp_path: Path) -> None:
    command = script(tmp_path, "for i in $(seq 40); do echo line $i; done; exit 3")
    with pytest.raises(ToolError) as caught:
        run(command, log=tmp_path / "log", tool="synth")
    text = str(caught.value)
    assert text.startswith(f"synth failed with exit status 3 (log: {tmp_path / 'log'})")
    assert text.splitlines()[1:] == [f"  | line {i}" for i in range(26, 41)]


def test_a_signal_and_silence_are_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"was ended by signal 9\n  \| \(it printed nothing\)"):
        run(script(tmp_path, "kill -9 $$"))


def test_a_program_that_cannot_start_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"nothing cannot be started: No such file .*\n  try: .*doctor"):
        run([tmp_path / "nothing"])


def test_a_time_limit_ends_grandchildren_too(tmp_path: Path) -> None:
    command = script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    begin = time.monotonic()
    with pytest.raises(ToolError, match=r"was stopped after its time limit of 0.5 s[\s\S]*try: allow more time"):
        run(command, timeout=0.5)
    assert time.monotonic() - begin < 10
    assert gone(wait_for(tmp_path / "pid"))


def test_a_program_that_ignores_the_terminate_signal_is_killed(tmp_path: Path) -> None:
    command = script(tmp_path, f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done")
    with pytest.raises(ToolError, match="time limit"):
        run(command, timeout=0.5)
    assert gone(wait_for(tmp_path / "pid"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_in_the_callback_leaves_no_process(tmp_path: Path, error: type[BaseException]) -> None:
    def stop(line: str) -> None:
        raise error

    command = script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/pid; echo ready; wait")
    with pytest.raises(error):
        run(command, progress=stop)
    assert gone(wait_for(tmp_path / "pid"))


def test_a_child_that_outlives_the_command_is_not_waited_for(tmp_path: Path) -> None:
    command = script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/pid; echo done")
    begin = time.monotonic()
    assert run(command).tail == ("done",)
    assert time.monotonic() - begin < 10
    assert gone(wait_for(tmp_path / "pid"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_to_the_caller_end_the_tool(tmp_path: Path, number: signal.Signals, status: int) -> None:
    command = script(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 60 & wait")
    code = f"""
        import signal, sys
        from hardwire.tools.process import run
        # A shell starts what runs in its background with interrupts ignored, and that is inherited.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            run({command!r})
        except KeyboardInterrupt:
            sys.exit(130)
    """
    caller = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    try:
        pid = wait_for(tmp_path / "pid")
        caller.send_signal(number)
        assert caller.wait(90) == status
        assert gone(pid)
    finally:
        caller.kill()
        caller.wait()


def test_no_other_module_starts_processes() -> None:
    package = Path(hardwire.__file__).parent
    starters = re.compile(r"\bsubprocess\b|\bos\.(system|popen|exec\w+|spawn\w+|posix_spawn\w*|fork)\b|\bpty\.")
    found = {
        path.relative_to(package).as_posix() for path in package.rglob("*.py") if starters.search(path.read_text())
    }
    assert found == {"tools/process.py"}
