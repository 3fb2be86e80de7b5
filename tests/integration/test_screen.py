#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`kith` on the full screen, as a person uses it: keys typed in tmux on two devices, what stands on
the screen read back."""
import pathlib
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
from kithlab import kith    # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402
from terminal import COLOUR, Terminal   # noqa: E402

ODD = """<domain type="qemu"><name>{}</name><memory unit="MiB">64</memory>
<os><type arch="x86_64">hvm</type></os></domain>"""
CODE = re.compile(r"\b(\d{3} \d{4})\b")
KEY = re.compile(r"[0-9A-Z]{5}(?:-[0-9A-Z]{5}){4,}")
# Misspells a word; the next time it mends that.
EDITOR = """#!/bin/sh
if grep -q alow "$1"; then sed -i 's/alow/allow/; $a # by hand' "$1"
else sed -i 's/allow/alow/' "$1"; fi
"""
WIDE, TURNS = "\u6f22\u5b57-cafe\u0301", "x\u202etac"


def first_run(tap: Tap, laptop: Device, desktop: Device) -> None:
    """Two devices that are nobody's: one begins a cloud, the other one joins it."""
    mine, other = Terminal(laptop), Terminal(desktop, 80, 24)
    for terminal in (mine, other):
        terminal.type("kith")
        terminal.wait("This device belongs to nobody yet", "(*) Start a new cloud")
    mine.press("Enter")
    mine.wait("Whose cloud is it?")
    mine.press(*["BSpace"] * 16)
    mine.type("Tom")
    screen = mine.wait("first one of Tom's cloud", "Recovery key", timeout=30)
    tap.ok(KEY.search(screen), "a new cloud: its recovery key is shown", screen)
    mine.press("p")
    mine.wait("Waiting for another device", "of Tom")
    other.press("Down", "Enter")
    codes = []
    for terminal in (mine, other):
        screen = terminal.wait("Is it the same code", "the same for a camera", timeout=40)
        codes.append(CODE.search(screen)[1])
        terminal.type("y")
        terminal.wait("Type the whole word, yes or no.")
    tap.equal(codes[0], codes[1], "both show the same code, as text and as a picture")
    for terminal in (mine, other):
        terminal.type("yes")
    screen = other.wait('Paired with "laptop" of Tom', timeout=30)
    tap.ok(KEY.search(screen) and "Recovery key" in screen,
           "they are paired, and the one that joined shows a key of its own", screen)
    tap.ok(KEY.search(mine.wait('Paired with "desktop" of Tom')),
           "the other one still shows its own")
    for terminal in (mine, other):
        terminal.press("q")
        terminal.wait("ready>")
        terminal.close()


def first_screen(tap: Tap, laptop: Device) -> Terminal:
    """Who is where, without a key."""
    terminal = Terminal(laptop)
    laptop.run(["tee", "/tmp/editor"], input=EDITOR)
    laptop.run(["chmod", "755", "/tmp/editor"])
    terminal.type("stty -g >/tmp/before; EDITOR=/tmp/editor kith")
    screen = terminal.wait("here, running", "trusted, announced")
    tap.ok("kith  laptop (laptop) of Tom" in screen and ">* work" in screen and
           ">+ desktop" in screen, "the first screen shows the VM and the device, selected", screen)
    tap.ok("[?] help" in screen.splitlines()[-1], "the keys stand at the bottom", screen)
    tap.ok(COLOUR.search(terminal.screen(escapes=True)), "there are colours")
    slowest = max(terminal.answered(key) for key in ("2", "1", "3", "1"))
    tap.note(f"the slowest of four keys is answered after {1000 * slowest:.0f} ms, with tmux")
    return terminal


def sizes(tap: Tap, terminal: Terminal) -> None:
    """Smaller than it needs and back."""
    terminal.resize(59, 15)
    tap.ok(terminal.wait("kith needs 60x16"), "59x15 is too small, and it says so")
    terminal.press("Enter", "Enter", "y")
    terminal.resize(60, 16)
    screen = terminal.wait(">* work", "[q] quit")
    tap.ok("plan" not in screen and max(map(len, screen.splitlines())) <= 60,
           "60x16 is enough, and keys that were pressed unseen did nothing", screen)
    terminal.resize(100, 30)
    terminal.wait("here, running, ", "[Tab] side")


def odd_names(tap: Tap, laptop: Device, terminal: Terminal) -> None:
    """Names of VMs are somebody's text."""
    for name in (WIDE, TURNS):
        laptop.virsh("define", "/dev/stdin", input=ODD.format(name))
    terminal.press("r")
    screen = terminal.wait(WIDE)
    line = next(line for line in screen.splitlines() if WIDE in line)
    # Two wide characters, and a mark that takes no column.
    tap.equal(line.index("|") + 2 - 1, 49, "wide characters and marks keep the columns")
    tap.ok("\u202e" not in screen, "a name that turns lines around does not get onto the screen")
    for name in (WIDE, TURNS):
        laptop.virsh("undefine", name)
    terminal.press("r")
    terminal.wait(WIDE, gone=True)


def move(tap: Tap, source: Terminal, target: Terminal, keys: list[str], name: str) -> None:
    """One move from a screen, seen on both."""
    source.press(*keys)
    plan = source.wait("allowed", "[ Yes ]", "(*) live")
    source.picture("screen-plan", "The plan of a move, before anything is done")
    tap.ok("while it runs, with its disks" in plan, f"{name}: the plan is shown, and asks", plan)
    source.press("Down")
    source.wait("(*) warm: would work", "( ) live")
    source.press("y")
    screen = source.wait(" %, ", "copying", "[#")
    source.picture("screen-moving", "A machine moves to another device")
    percent = re.search(r"-> \w+: copying \w+ +\[#+\.*\] (\d+) %, .*/s", screen)
    tap.ok(percent, f"{name}: a bar with percent and rate", screen)
    screen = target.wait(" <- ", "copying")
    tap.ok(" %, " in screen, f"{name}: the other device shows it too", screen)


def there_and_back(tap: Tap, laptop: Device, terminal: Terminal, desktop: Device,
                   guest: Guest) -> Terminal:
    """By choosing on the one, by one key on the other; and a refusal and a cancel."""
    other = Terminal(desktop, 80, 24)
    other.type("kith")
    other.wait("No VM is known here", "trusted, announced")
    laptop.rate("300mbit")
    move(tap, terminal, other, ["Enter", "Enter"], "there")
    terminal.press("c")
    terminal.wait("Stop the hand-off")
    terminal.press("y")
    screen = terminal.wait("was not moved", "cancelled", timeout=30)
    tap.ok("(code: cancelled)" in screen, "c stops it, after a question", screen)
    terminal.press("Escape")
    terminal.wait("here, running", "was not moved", timeout=30)
    laptop.rate(None)
    terminal.press("h", "Enter", "Enter")
    terminal.wait("[ Yes ]")
    terminal.press("y")
    terminal.wait("on desktop", '+ "work" runs on "desktop" now', timeout=60)
    other.wait("here, running")
    tap.equal(guest.state(desktop), "running", "and then it moves")
    terminal.press("b")
    tap.ok(terminal.wait("Bring it here?", '"work" is on "desktop"'),
           "what is elsewhere is asked for, after a question")
    terminal.press("n")
    terminal.wait("Bring it here?", gone=True)
    laptop.rate("300mbit")
    move(tap, other, terminal, ["b"], "back, by one key")
    laptop.rate(None)
    terminal.wait("here, running", 'came from "desktop"', timeout=60)
    tap.equal(guest.state(laptop), "running", "back: it runs here again")
    return other


def new_kernel(tap: Tap, terminal: Terminal, desktop: Device) -> None:
    """The other device starts other software: refused, looked at, accepted."""
    desktop.extend_pcr(4, b"another kernel")
    terminal.press("1", "h", "Enter", "Enter")
    terminal.wait("[ Yes ]")
    terminal.press("y")
    terminal.wait("was not moved", "(code: attest-pcr)", timeout=30)
    terminal.press("Escape")
    terminal.wait("! desktop", "untrusted, announced")
    terminal.press("Enter")
    screen = terminal.wait("refused", "(code: attest-pcr)")
    tap.ok("[ Yes ]" not in screen and "PCR 4" in screen,
           "another kernel: refused, then planned as refused, and why", screen)
    terminal.press("Escape", "2")
    terminal.wait("DIFFERS from")
    terminal.press("a")
    screen = terminal.wait("Accept it as it runs now?", "(PCR 4): ")
    tap.ok("->" in screen, "what would be accepted is shown beside what was", screen)
    terminal.press("Enter")
    terminal.wait("Accept it as it runs now?", gone=True)
    terminal.wait("DIFFERS from")
    terminal.press("a", "y")
    terminal.wait("It is accepted as it ran")
    tap.ok(terminal.wait("as accepted", "verdict: trusted"), "Enter is no; y accepts it")
    terminal.press("5", "w")
    tap.ok(terminal.wait("+ to desktop: allow owner all to own"), "and w says which rule counts")
    terminal.press("Escape", "1")


def views(tap: Tap, terminal: Terminal) -> None:
    """Each of them, the filter and the help."""
    for key, texts in (("2", ["as accepted", "verdict: trusted"]), ("3", ["Hand-offs (4)"]),
                       ("4", ["custody-done", "trust-accept"]), ("5", ["allow owner all to own"]),
                       ("6", ["kith-policyd runs."]), ("7", ["Both show a code"]),
                       ("8", ["Tom owns this device", "+ desktop (desktop): trusted"])):
        terminal.press(key)
        tap.ok(terminal.wait(*texts), f"view {key} shows {texts[0]!r}")
    terminal.press("4")
    terminal.type("/policy", enter=False)
    terminal.wait("Filter: policy_", "(1 of ")
    terminal.press("Enter", "Escape")
    terminal.wait("(1 of ", gone=True)
    terminal.type("?bring", enter=False)
    tap.ok(terminal.wait("Search: bring_", "send a VM back"), "the help can be searched")
    terminal.press("Escape", "1")


def edit(tap: Tap, terminal: Terminal) -> None:
    """A policy in the person's own editor, wrong at first."""
    terminal.press("5", "e")
    screen = terminal.wait("The policy is not in force", "alow owner all", '"alow" where')
    tap.ok("Your text is kept" in screen, "a wrong line of a policy is shown, and why", screen)
    terminal.press("Escape", "e")
    terminal.wait("is signed.")
    tap.ok(terminal.wait("# version 2", "# by hand"), "gone on with, it is signed")
    terminal.press("1")


def live(tap: Tap, laptop: Device, terminal: Terminal, name: str) -> None:
    """What other programs do is seen at once: by events, not at the next look."""
    terminal.press("5")
    terminal.wait("# version 2")
    kith(laptop, "policy", "set", name)
    tap.ok(terminal.wait("# version 3", timeout=5), "a policy that is set elsewhere is shown")
    terminal.press("4", "Home")
    terminal.wait("policy-set")
    kith(laptop, "--yes", "recovery")
    tap.ok(terminal.wait("recovery-renew", timeout=5), "and a new record of the log")
    terminal.press("1")


def restart(tap: Tap, laptop: Device, terminal: Terminal) -> None:
    """kithd goes and comes back."""
    laptop.stop_kith("kithd")
    screen = terminal.wait("kithd does not answer since")
    tap.ok("systemctl start kithd" in screen and ">* work" in screen,
           "without kithd it says since when, and what to do", screen)
    laptop.start_kith("kithd")
    terminal.wait("does not answer", gone=True)
    tap.ok(terminal.wait("trusted, announced"), "kithd is back, and so is what it tells")


def endings(tap: Tap, laptop: Device, terminal: Terminal) -> None:
    """Whatever ends it, the terminal is as it was."""
    terminal.press("C-z")
    terminal.wait("Stopped", "ready>")
    terminal.type("fg")
    tap.ok(terminal.wait("here, ", "[q] quit"), "Ctrl-Z stops it, fg shows all of it again")
    laptop.kill("kith", 11)
    terminal.wait("Segmentation fault", "ready>")
    terminal.type("stty -g | diff - /tmp/before && echo as it was")
    tap.ok(terminal.wait("as it was\n"), "a crash gives the terminal back as it was")
    for how, status in (("q", 0), ("C-c", 0)):
        terminal.type("clear; kith; echo ended $?")
        terminal.wait("here, ")
        terminal.press(how)
        tap.ok(terminal.wait(f"ended {status}\n"), f"{how} ends it")
    terminal.type("clear; NO_COLOR=1 kith --read-only")
    terminal.wait("read-only", "here, ")
    tap.ok(not COLOUR.search(terminal.screen(escapes=True)) and
           "\x1b[7m" in terminal.screen(escapes=True), "NO_COLOR: no colour, the focus is reversed")
    terminal.press("Enter", "Enter")
    screen = terminal.wait("allowed", "This is read-only.")
    tap.ok("[ Yes ]" not in screen, "--read-only shows the plan, and offers no yes", screen)
    terminal.press("Escape", "q")
    terminal.wait("ready>")
    terminal.type("clear; kith")
    terminal.wait("here, ", "trusted, announced")
    terminal.press("2", "f")
    terminal.wait("Forget it?", '"desktop" of Tom')
    terminal.press("y")
    tap.ok(terminal.wait("+ It is forgotten", "not paired"), "a device is forgotten, after a question")
    terminal.press("q")
    terminal.wait("ready>")
    lists = laptop.run(["sh", "-c", "kith </dev/null"]).stdout
    tap.ok("Virtual machines\n+ work" in lists and "\x1b" not in lists,
           "without a terminal it prints the lists", lists)


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    laptop, desktop = kithlab.start(lab, "laptop", "desktop")
    first_run(tap, laptop, desktop)
    guest = kithlab.small_guest(memory_mib=128)
    digest = kithlab.run_guest(guest, laptop)
    terminal = first_screen(tap, laptop)
    sizes(tap, terminal)
    odd_names(tap, laptop, terminal)
    other = there_and_back(tap, laptop, terminal, desktop, guest)
    kithlab.judge(tap, guest, [laptop, desktop, laptop], "by the screens", digest)
    new_kernel(tap, terminal, desktop)
    views(tap, terminal)
    edit(tap, terminal)
    live(tap, laptop, terminal, guest.name)
    restart(tap, laptop, terminal)
    endings(tap, laptop, terminal)
    wait_for("the end of both screens", lambda: not laptop.pids("kith"))
    terminal.close()
    other.close()


if __name__ == "__main__":
    kithlab.run_tests("screen", body)
