# SPDX-License-Identifier: Apache-2.0
"""Running commands, and finding processes by what the kernel says about them."""
import os
import pathlib
import pickle
import pwd
import signal
import subprocess
import time
from collections.abc import Callable


class LabError(Exception):
    """Something the lab was asked to do did not work; the text is for people."""


def run(*args: object, check: bool = True, timeout: float | None = 60, **kwargs):
    """subprocess.run with text output captured; a failure names the command and its last words."""
    words = [str(a) for a in args]
    kwargs.setdefault("text", True)
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                          check=False, **kwargs)
    if check and done.returncode:
        says = done.stderr or done.stdout
        raise LabError(f"{' '.join(words)}: exit {done.returncode}: {str(says).strip()[-600:]}")
    return done


def wait_for(what: str, condition, timeout: float = 10, step: float = 0.02):
    """Polls until condition() is true and returns its value; LabError if it never is."""
    deadline = time.monotonic() + timeout
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(step)


def as_user(user: str, work: Callable[[], object]) -> object:
    """What work() returns, done by a process of that user."""
    entry = pwd.getpwnam(user)
    reader, writer = os.pipe()
    if not (child := os.fork()):
        try:
            os.setgroups([])
            os.setresgid(*[entry.pw_gid] * 3)
            os.setresuid(*[entry.pw_uid] * 3)
            os.write(writer, pickle.dumps(work()))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(answer)


def all_pids() -> list[int]:
    """Every process of the machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def namespace(pid: int | str, kind: str) -> str | None:
    """A namespace's kernel name such as "pid:[4026532]", or None where the process is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return None


def cmdline(pid: int) -> list[str]:
    """The arguments of a process; empty for kernel threads, zombies and the departed."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def stat_field(pid: int, index: int) -> str | None:
    """Field `index` (1-based as in proc(5)) of /proc/PID/stat."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rsplit(")", 1)[1].split()[index - 3]


def parent(pid: int) -> int:
    """The parent's pid, 0 if unknown."""
    return int(stat_field(pid, 4) or 0)


def alive(pid: int) -> bool:
    """True while the process exists and is not a zombie."""
    return stat_field(pid, 3) not in (None, "Z", "X")


def kill(pid: int, sig: int = signal.SIGKILL) -> None:
    """kill(2) that does not mind if the process has just gone."""
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass
