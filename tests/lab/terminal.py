# SPDX-License-Identifier: Apache-2.0
"""A person at a terminal of a device: `kith` in tmux, keys in, characters out."""
import os
import pathlib
import re
import time

import picture
from device import Device
from shell import LabError, wait_for

COLOUR = re.compile(r"\x1b\[(?:[0-9]*;)*(?:3[0-8]|9[0-7]|4[0-8])[;m]")


def sanitizers(log: object) -> dict[str, str]:
    """For a build with them: what they say of `kith` is for the log, not for its screen; and a
    program that dies of a signal dies of it."""
    return {"ASAN_OPTIONS": f"log_path={log}:handle_segv=0:handle_abort=0",
            "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={log}"}


class Terminal:
    """A shell in tmux, in which commands are typed."""

    def __init__(self, device: Device, columns: int = 100, lines: int = 30, name: str = "kith",
                 env: dict[str, str] | None = None):
        self.device, self.name = device, name
        env = {**sanitizers(device.screen_log), **(env or {})}
        self._tmux("new-session", "-d", "-s", name, "-x", columns, "-y", lines,
                   "env", *[f"{key}={value}" for key, value in env.items()],
                   "PS1=ready> ", "bash", "--norc", "--noprofile")
        self.wait("ready>")

    def _tmux(self, *words: object) -> str:
        return self.device.run(["tmux", "-u", "-L", self.name, "-f", "/dev/null", *words]).stdout

    def type(self, text: str, enter: bool = True) -> None:
        """Types a text as it is."""
        self._tmux("send-keys", "-t", self.name, "-l", text)
        if enter:
            self.press("Enter")

    def press(self, *keys: str) -> None:
        """Presses keys by their tmux names, such as Enter, Escape, Up, C-c."""
        self._tmux("send-keys", "-t", self.name, *keys)

    def paste(self, text: str) -> None:
        """The terminal's clipboard, marked as such where the program asked for that."""
        self._tmux("set-buffer", "--", text)
        self._tmux("paste-buffer", "-p", "-t", self.name)

    def send(self, text: str) -> None:
        """Bytes as a terminal sends them, such as those of a mouse."""
        self._tmux("send-keys", "-t", self.name, "-H", *[f"{byte:02x}" for byte in text.encode()])

    def resize(self, columns: int, lines: int) -> None:
        """The window gets another size."""
        self._tmux("resize-window", "-t", self.name, "-x", columns, "-y", lines)

    def screen(self, escapes: bool = False) -> str:
        """What stands on the screen; with its attributes on demand."""
        return self._tmux("capture-pane", "-p", "-t", self.name, *(["-e"] if escapes else []))

    def picture(self, name: str, title: str) -> None:
        """The screen as an SVG file in the folder KITH_PICTURES, if that is set."""
        folder = os.environ.get("KITH_PICTURES")
        if not folder:
            return
        size = self._tmux("display-message", "-p", "-t", self.name, "#{pane_width} #{pane_height}")
        screen = self._tmux("capture-pane", "-p", "-e", "-N", "-t", self.name)
        text = picture.svg(screen, *map(int, size.split()), title)
        (pathlib.Path(folder) / f"{name}.svg").write_text(text, encoding="utf-8")

    def wait(self, *texts: str, timeout: float = 15, gone: bool = False) -> str:
        """Waits until all of them (gone: none of them) stand on the screen, and returns it."""
        def there() -> str | None:
            screen = self.screen()
            return screen if all((text in screen) != gone for text in texts) else None
        try:
            return wait_for(f"{texts} on the screen of {self.device.name}", there, timeout, 0.05)
        except LabError as error:
            raise LabError(f"{error}:\n{self.screen()}") from None

    def answered(self, *keys: str) -> float:
        """Presses keys and returns the seconds until the screen changed."""
        before = self.screen()
        self.press(*keys)
        begin = time.monotonic()
        wait_for("another screen", lambda: self.screen() != before, 5, 0.005)
        return time.monotonic() - begin

    def close(self) -> None:
        """Ends it with all that runs in it."""
        self._tmux("kill-server")
