#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`kith` on terminals of every kind, in tmux, with a kithd that only talks: many rows, odd words,
sizes that change all the time, endings, clipboards and mice. It needs no lab and no root."""
import os
import pathlib
import re
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from fakekithd import FakeKithd, device, vm   # noqa: E402
from shell import run, wait_for   # noqa: E402
from tap import Tap     # noqa: E402
from terminal import COLOUR, Terminal   # noqa: E402

BUILD = pathlib.Path(os.environ.get("KITH_BUILD", pathlib.Path(__file__).parents[2] / "build"))
RSS_MAX_KIB = 8 * 1024
ODD = ["\u6f22\u5b57-cafe\u0301", "x\u202etac", "\x1b[2J\x1b]0;x\x07", "a\u200db", "\x9b31m"]


class Here:
    """This computer as a device of the lab: what Terminal needs of one."""

    def __init__(self, folder: pathlib.Path):
        self.name, self.folder = "this computer", folder
        self.screen_log = folder / "kith-screen"
        self._env = {**os.environ, "TMUX_TMPDIR": str(folder), "LC_ALL": "C.UTF-8",
                     "PATH": f"{BUILD}:{os.environ['PATH']}"}
        self._env.pop("TMUX", None)
        self._env.pop("NO_COLOR", None)
        self.config = folder / "kith.conf"
        self.config.write_text(f"[paths]\nrun = {folder}\n", encoding="utf-8")

    def run(self, words: list[object]):
        """Runs a command to its end."""
        return run(*words, env=self._env)

    def kith(self) -> int:
        """The process of the screen."""
        found = run("pgrep", "-f", f"^kith.*{self.config}", check=False).stdout.split()
        return int(found[0]) if found else 0


def begin(terminal: Terminal, before: str = "", after: str = "") -> None:
    """Starts it on a clean terminal."""
    terminal.type(f"clear; {before} kith -c {terminal.device.config} {after}; echo ended $?")
    terminal.wait("kith  laptop", "Virtual machines (")


def end(terminal: Terminal) -> None:
    """Leaves it."""
    terminal.press("q")
    terminal.wait("ended 0")


def cpu_ticks(pid: int) -> int:
    """Time that it used, user and system."""
    return sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
                   .split()[11:13]))


def many(tap: Tap, here: Here, kithd: FakeKithd, terminal: Terminal) -> None:
    """50 VMs and 200 devices."""
    kithd.vms = [vm(i) for i in range(50)]
    kithd.devices = [device(i) for i in range(200)]
    terminal.resize(120, 40)
    begin(terminal)
    terminal.wait("Virtual machines (50)", "Devices (200)")
    slowest = max(terminal.answered(key) for key in ("2", "j", "1", "End", "Tab", "End", "8", "1"))
    tap.note(f"the slowest of eight keys is answered after {1000 * slowest:.0f} ms, with tmux")
    tap.ok(slowest < 1, "keys are answered at once")
    status = pathlib.Path(f"/proc/{here.kith()}/status").read_text(encoding="utf-8")
    rss = int(re.search(r"VmRSS:\s+(\d+)", status)[1])
    tap.note(f"it takes {rss} KiB of memory")
    if "asan" in pathlib.Path(f"/proc/{here.kith()}/maps").read_text(encoding="utf-8"):
        tap.skip("it is small", "this build has sanitizers")
    else:
        tap.ok(rss <= RSS_MAX_KIB, "it is small", f"{rss} KiB")
    # The second look after the first one is over by then.
    time.sleep(2.2)
    before, asked = cpu_ticks(here.kith()), len(kithd.asked)
    time.sleep(3)
    tap.equal(cpu_ticks(here.kith()) - before, 0, "nothing changes: it uses no time")
    tap.equal(len(kithd.asked), asked, "and asks nothing")
    kithd.vms[-1]["name"] = "renamed"
    kithd.tell("devices")
    tap.ok(terminal.wait("renamed"), "what kithd tells is seen without a key")


def storm(tap: Tap, here: Here, terminal: Terminal) -> None:
    """The window is pulled about."""
    pid = here.kith()
    for i in range(60):
        terminal.resize(20 + i * 37 % 160, 5 + i * 13 % 50)
        if i % 5 == 0:
            terminal.press("Down", "2", "Tab", "1")
    terminal.resize(59, 15)
    terminal.wait("kith needs 60x16", "59x15")
    terminal.resize(60, 16)
    screen = terminal.wait("renamed", "[q] quit")
    tap.ok(max(map(len, screen.splitlines())) <= 60 and here.kith() == pid,
           "after a storm of sizes it is as it should be", screen)
    terminal.resize(100, 30)
    terminal.wait("[Tab] side")


def restart(tap: Tap, kithd: FakeKithd, terminal: Terminal) -> None:
    """kithd goes and comes back, several times."""
    for _ in range(2):
        kithd.stop()
        screen = terminal.wait("kithd does not answer since")
        kithd.start()
        terminal.wait("does not answer", gone=True)
    tap.ok("renamed" in screen and "systemctl start kithd" in screen,
           "without kithd it shows what it knew, and says what to do", screen)


def odd_words(tap: Tap, kithd: FakeKithd, terminal: Terminal) -> None:
    """Names that would drive the terminal."""
    kithd.vms = [vm(i, name) for i, name in enumerate(ODD)]
    kithd.devices = [device(i, name, reason={"code": "policy", "text": name})
                     for i, name in enumerate(ODD)]
    kithd.tell("devices")
    screen = terminal.wait(ODD[0], "Devices (5)")
    bars = {len(line.split("|")[0].encode("utf-16-le")) // 2 +
            sum(c in "\u6f22\u5b57" for c in line.split("|")[0]) - line.split("|")[0].count("\u0301")
            for line in screen.splitlines() if "|" in line}
    tap.ok(len(bars) == 1, "the line between the lists is straight", f"{bars}\n{screen}")
    tap.ok(not set(screen) & set("\u202e\u200d\x9b\x07"), "and nothing of them drives it", screen)


def clipboard(tap: Tap, kithd: FakeKithd, terminal: Terminal) -> None:
    """What is pasted decides nothing."""
    kithd.vms, kithd.devices = [vm(1, "work")], [device(1, "desktop")]
    kithd.tell("devices")
    terminal.wait("* work")
    terminal.paste("\n\nyq")
    tap.ok(terminal.wait("What was pasted was left out", "* work"),
           "what is pasted is left out, and said")
    terminal.type("/", enter=False)
    terminal.paste("wo\nrk")
    tap.ok(terminal.wait("Filter: work_"), "but for a filter that is being typed")
    terminal.press("Escape")


def mouse(tap: Tap, terminal: Terminal) -> None:
    """Clicks, once they are wanted; as xterm sends them."""
    begin(terminal, "TERM=xterm-256color")
    terminal.press("m")
    terminal.wait("A click selects")
    terminal.send("\x1b[<0;12;2M\x1b[<0;12;2m")
    tap.ok(terminal.wait("Devices (1)", "[a] accept"), "a click on a view's name goes there")
    terminal.press("m")
    tap.ok(terminal.wait("The mouse is the terminal's again"), "and the mouse is given back")
    end(terminal)


def terminals(tap: Tap, here: Here, terminal: Terminal) -> None:
    """Those without colours, without a second screen, of the Linux console."""
    for kind in ("vt100", "linux", "screen", "xterm", "xterm-256color"):
        begin(terminal, f"TERM={kind}")
        terminal.press("2")
        screen = terminal.wait("Devices (1)", "[q] quit")
        colour = bool(COLOUR.search(terminal.screen(escapes=True)))
        tap.ok(colour == (kind != "vt100") and "Devices (1)" in screen,
               f"TERM={kind}: {'no ' if kind == 'vt100' else ''}colours, and it works", screen)
        terminal.press("C-z")
        terminal.wait("Stopped")
        terminal.type("fg; echo ended $?")
        terminal.wait("Devices (1)", "[q] quit")
        end(terminal)
    begin(terminal, "NO_COLOR=1")
    tap.ok(not COLOUR.search(terminal.screen(escapes=True)) and
           "\x1b[7m" in terminal.screen(escapes=True), "NO_COLOR: no colour, the focus is reversed")
    end(terminal)
    assert not here.kith()


def endings(tap: Tap, here: Here, terminal: Terminal) -> None:
    """Whatever ends it, the terminal is as it was."""
    terminal.type(f"clear; stty -g >{here.folder}/before; echo a line of before")
    terminal.wait("a line of before\n")
    for number, says in ((signal.SIGTERM, "Terminated"), (signal.SIGHUP, "Hangup"),
                         (signal.SIGSEGV, "Segmentation fault"), (signal.SIGABRT, "Aborted"),
                         (signal.SIGQUIT, "Quit")):
        terminal.type(f"kith -c {here.config}")
        terminal.wait("kith  laptop", "* work")
        os.kill(here.kith(), number)
        terminal.wait(says, "a line of before")
        terminal.type(f"stty -g | diff - {here.folder}/before && echo as it was")
        screen = terminal.wait("as it was\n")
        tap.ok("* work" not in screen, f"{number.name} gives the terminal back as it was", screen)
        terminal.type("clear; echo a line of before")
        terminal.wait("a line of before\n")


def body(tap: Tap, folder: pathlib.Path) -> None:
    """All on one terminal."""
    here, kithd = Here(folder), FakeKithd(folder)
    kithd.start()
    terminal = Terminal(here, name="kith")
    try:
        many(tap, here, kithd, terminal)
        storm(tap, here, terminal)
        restart(tap, kithd, terminal)
        odd_words(tap, kithd, terminal)
        clipboard(tap, kithd, terminal)
        end(terminal)
        mouse(tap, terminal)
        terminals(tap, here, terminal)
        endings(tap, here, terminal)
    finally:
        terminal.close()
        kithd.stop()
    wait_for("the end of all screens", lambda: not here.kith())
    tap.equal([path.name for path in folder.glob("kith-screen*")], [], "no sanitizer spoke")


def main() -> None:
    """In a folder that is gone afterwards."""
    with Tap() as tap, tempfile.TemporaryDirectory(prefix="kith-") as folder:
        begun = time.monotonic()
        body(tap, pathlib.Path(folder))
        tap.note(f"terminal: {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
