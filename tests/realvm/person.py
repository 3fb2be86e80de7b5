# SPDX-License-Identifier: Apache-2.0
"""A person at a terminal of a machine: what is typed, what is seen, and a transcript of both."""
import os
import pty
import re
import select
import subprocess
import time

from bed import LabError, Machine

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]")


def readable(text: str) -> str:
    """What is left on the screen: a line that was drawn anew counts as drawn last."""
    lines = CONTROL.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)


class Command:
    """One command under way, on a terminal of its own."""

    def __init__(self, person: "Person", words: str):
        self.person, self.words, self.seen, self._at = person, words, "", 0
        ours, theirs = pty.openpty()
        self._tty = ours
        environment = "export LC_ALL=C.UTF-8 TERM=xterm; "
        self._process = subprocess.Popen(
            person.machine.ssh(person.user, "-tt") + [environment + words],
            stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(theirs)

    def _read(self, timeout: float) -> bool:
        """Takes what has come; False at the end."""
        if not select.select([self._tty], [], [], timeout)[0]:
            return True
        try:
            piece = os.read(self._tty, 65536)
        except OSError:
            return False
        self.seen += piece.decode(errors="replace")
        return bool(piece)

    def expect(self, pattern: str, timeout: float = 300) -> re.Match:
        """Waits until that is on the screen, after what was expected before."""
        deadline = time.monotonic() + timeout
        going = True
        while True:
            text = readable(self.seen)
            if found := re.compile(pattern).search(text, self._at):
                self._at = found.end()
                return found
            if not going or time.monotonic() > deadline:
                raise LabError(f"{self.person}: `{self.words}` did not say {pattern!r}: "
                               f"{text[-600:]}")
            going = self._read(0.5)

    def type(self, line: str) -> None:
        """An answer."""
        os.write(self._tty, line.encode() + b"\n")

    def end(self, timeout: float = 900) -> tuple[int, str]:
        """(exit status, what was on the screen); the transcript has it from then on."""
        deadline = time.monotonic() + timeout
        while self._read(0.5):
            if time.monotonic() > deadline:
                self._process.kill()
                break
        status = self._process.wait(30)
        os.close(self._tty)
        text = readable(self.seen)
        self.person.note(self.words, text, status)
        return status, text


class Person:
    """Somebody with an account on a machine."""

    def __init__(self, machine: Machine, user: str):
        self.machine, self.user = machine, user
        self.typed = 0      # commands, answers not counted
        self.transcript = machine.bed.evidence / f"{user}@{machine.name}.txt"

    def __str__(self) -> str:
        return f"{self.user}@{self.machine.name}"

    def begins(self, words: str) -> Command:
        """Types a command and looks on."""
        self.typed += 1
        return Command(self, words)

    def types(self, words: str, timeout: float = 900) -> tuple[int, str]:
        """Types a command and waits for its end."""
        return self.begins(words).end(timeout)

    def note(self, words: str, text: str, status: int) -> None:
        """Into the transcript."""
        with open(self.transcript, "a", encoding="utf-8") as file:
            file.write(f"[{time.strftime('%T')}] {self}:~$ {words}\n{text.rstrip()}\n"
                       + (f"(exit {status})\n" if status else "") + "\n")
