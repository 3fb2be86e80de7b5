# SPDX-License-Identifier: Apache-2.0
"""Two devices that hand a VM to each other, and a third that does what it can against it.

A row is one attack: while it lasts the victim is asked how it is, and one hand-off is made. What is
judged is in Result.problems().
"""
import dataclasses
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import hostile  # noqa: E402
import kithlab  # noqa: E402
from config import DAEMONS  # noqa: E402
from device import Device   # noqa: E402
from kithlab import Kith, Move, Refused, kith    # noqa: E402
from shell import LabError, wait_for    # noqa: E402

INSIDE = "/run/lab/tests/soak/attacks.py"
RSS_MAX_MB = 20.0
STATUS_MAX_MS = 150.0
STATUS_FACTOR = 3       # machines differ: or so many times the undisturbed median
MOVE_WAIT = 90
RUN = "/run/kith"


@dataclasses.dataclass(frozen=True)
class Row:
    """An attack: what attacks.py calls it, from where, against whom."""

    name: str
    attack: str
    victim: str = "destination"     # of the hand-off; "source" else
    many: bool = False              # from 50 addresses
    local: bool = False             # by another user of the victim
    fresh: bool = False             # kithd of the victim is restarted under it and knows nobody
    asks: str = "status"
    extra_s: float = 0          # more than twice the undisturbed time for the hand-off; 0 = any


ROWS = (
    Row("500 idle, one address", "idle"),
    Row("500 idle, 50 addresses", "idle", many=True),
    Row("slow ClientHello, 50 addresses", "slow_hello", many=True),
    Row("whole ClientHello and silence, 50 addresses", "whole_hello", many=True),
    Row("connect and close", "connect_close"),
    Row("garbage, HTTP, broken TLS", "garbage"),
    Row("TLS without certificate", "no_certificate"),
    Row("TLS, self-signed, 50 addresses", "other_certificate", many=True),
    Row("SYN flood", "syn_flood"),
    Row("WebSocket with a window open", "web_socket"),
    Row("early preface", "early_preface", many=True),
    Row("mDNS, 3,000 services", "many_services", "source", asks="devices"),
    Row("mDNS, hostile TXT", "hostile_text", "source", asks="devices"),
    Row("mDNS, flapping", "flapping", "source", asks="devices"),
    Row("mDNS, goodbyes", "goodbyes", "source", asks="devices"),
    Row("mDNS, poison addresses", "poison", "source", asks="devices", fresh=True, extra_s=4),
    Row("mDNS, 20 namesakes", "namesakes", "source", asks="devices"),
    Row("local, JSON", "local_json", "source", local=True),
    Row("local, never read", "local_unread", "source", local=True),
    Row("local, control.sock", "local_control", "source", local=True),
    Row("local, policyd.sock", "local_policyd", "source", local=True),
    Row("local, both sockets", "local_both", "source", local=True),
    Row("local, random records", "local_noise", "source", local=True),
)


@dataclasses.dataclass
class Result:
    """What a row showed."""

    row: Row
    done: dict
    before_ms: float
    asked_ms: list[float]
    failed: list[str]
    rss_mb: float
    cpu: float
    move: str           # "ok" or the error
    move_s: float
    usual_s: float
    died: list[str]

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = [f"the hand-off: {self.move}"] * (self.move != "ok")
        if self.rss_mb > RSS_MAX_MB:
            found.append(f"kithd took {self.rss_mb:.1f} MB")
        limit = max(STATUS_MAX_MS, STATUS_FACTOR * self.before_ms)
        if self.asked_ms and statistics.median(self.asked_ms) > limit:
            found.append(f"`kith {self.row.asks}` took {statistics.median(self.asked_ms):.0f} ms")
        if self.row.extra_s and self.move == "ok" \
                and self.move_s > 2 * self.usual_s + self.row.extra_s:
            found.append(f"the hand-off took {self.move_s:.1f} s, undisturbed {self.usual_s:.1f}")
        found += [f"`kith {self.row.asks}` failed {len(self.failed)} times: {self.failed[0]}"] \
            if self.failed else []
        return found + [f"{name} was another process afterwards" for name in self.died]

    def cells(self) -> list[str]:
        """A line of the table."""
        done = ", ".join(f"{value} {key}" for key, value in self.done.items())
        median = statistics.median(self.asked_ms) if self.asked_ms else 0
        worst = max(self.asked_ms, default=0)
        return [self.row.name, done, f"{self.before_ms:.0f} -> {median:.0f} ({worst:.0f})",
                f"{self.rss_mb:.1f}", f"{self.cpu:.1f} %", f"{self.move} {self.move_s:.1f} s"]


HEADINGS = ["attack", "done", "status ms: before -> median (worst)", "RSS MB", "CPU kithd",
            "hand-off"]


def table(results: list[Result]) -> str:
    """The rows as markdown."""
    lines = [HEADINGS, ["---"] * len(HEADINGS)] + [r.cells() for r in results]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


class Watch:
    """Asks a device how it is, again and again, and looks at its kithd."""

    def __init__(self, device: Device, ask: str):
        self.device, self.ask = device, ask
        self.times: list[float] = []
        self.failed: list[str] = []
        self._stop = threading.Event()
        self.look()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Begins to measure kithd anew."""
        self.pid = self.device.pids("kithd")[0]
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")     # VmHWM begins anew
        self.begin, self.ticks = time.monotonic(), self._ticks()

    def _ticks(self) -> int:
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def once(self) -> None:
        """One question."""
        begin = time.monotonic()
        done = self.device.run(["kith", "--json", self.ask], check=False)
        took = (time.monotonic() - begin) * 1000
        answer = json.loads(done.stdout or "{}")
        if done.returncode or (self.ask == "status" and not answer.get("agent")):
            self.failed.append((done.stdout + done.stderr)[:300])
        self.times.append(took)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            try:
                self.once()
            except LabError as error:
                self.failed.append(str(error))

    def stop(self) -> tuple[float, float]:
        """Ends it: (most MB that kithd had, its share of a CPU in percent). Zeros if it died."""
        self._stop.set()
        self._thread.join()
        try:
            status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0.0, 0.0
        peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        ticks = (self._ticks() - self.ticks) / os.sysconf("SC_CLK_TCK")
        return peak, 100 * ticks / (time.monotonic() - self.begin)


class Spy:
    """Gives the numbers of hand-offs away as soon as the source's kithd names them."""

    def __init__(self, source: Device, to: pathlib.Path):
        to.write_text("")
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.connect(str(source.host_path(f"{RUN}/kithd/control.sock")))
        self._sock.sendall(b'{"id":1,"op":"watch"}\n')
        threading.Thread(target=self._run, args=(to,), daemon=True).start()

    def _run(self, to: pathlib.Path) -> None:
        seen = set()
        with self._sock.makefile() as lines:
            for line in lines:
                hid = json.loads(line).get("job", {}).get("hid")
                if hid and hid not in seen:
                    seen.add(hid)
                    with open(to, "a") as file:
                        file.write(hid + "\n")

    def stop(self) -> None:
        """Looks away."""
        self._sock.shutdown(socket.SHUT_RDWR)


class Arena:
    """laptop and desktop, which are paired; eve, who is not; a VM that goes to and fro."""

    def __init__(self, lab: Lab):
        self.laptop, self.desktop, self.eve = kithlab.start(lab, "laptop", "desktop", "eve:laptop")
        kith(self.laptop, "init", "Tom")
        kith(self.eve, "init", "Eve")
        kithlab.pair(self.laptop, self.desktop)
        hostile.prepare(self.eve, "own", hostile.device_seed(self.eve))
        for n in range(100, 150):
            self.eve.run(["ip", "addr", "add", f"10.77.0.{n}/24", "dev", "eth0"])
        self.guest = kithlab.small_guest("work", memory_mib=128, disk_mib=128, data_mib=32)
        kithlab.run_guest(self.guest, self.laptop)
        self.here, self.there = self.laptop, self.desktop
        self.usual_s = min(self._undisturbed() for _ in range(2))

    def _undisturbed(self) -> float:
        move, seconds = self._move()
        if move != "ok":
            raise LabError(f"a hand-off that nobody disturbs: {move}")
        return seconds

    @staticmethod
    def _median(device: Device, ask: str) -> float:
        watch = Watch(device, ask)
        time.sleep(1.2)
        watch.stop()
        return statistics.median(watch.times)

    def _move(self) -> tuple[str, float]:
        begin = time.monotonic()
        try:
            Move(self.here, self.guest.name, self.there).done(MOVE_WAIT)
        except Refused as refused:
            return f"{refused.code}: {refused.text}", time.monotonic() - begin
        except LabError as error:
            return str(error), time.monotonic() - begin
        self.here, self.there = self.there, self.here
        return "ok", time.monotonic() - begin

    # -- attacks ----------------------------------------------------------------------------------

    def _order(self, row: Row, victim: Device) -> dict:
        order = {"target": victim.ip, "hids": "/tmp/hids",
                 "control": f"{RUN}/kithd/control.sock", "policyd": f"{RUN}/policyd/policyd.sock"}
        if row.many:
            order["addresses"] = [f"10.77.0.{n}" for n in range(100, 150)]
        other = self.there if victim is self.here else self.here
        order["id"] = kith(other, "status")["id"][:16]
        order["live"] = [f"kith-{order['id'][:8]}"]
        return order

    def _start(self, row: Row, victim: Device) -> subprocess.Popen:
        words = ["python3", "-B", INSIDE, row.attack, json.dumps(self._order(row, victim))]
        place = victim if row.local else self.eve
        return place.popen(words, "daemon" if row.local else None, text=True,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def _web_socket(self, victim: Device, over: threading.Event) -> dict:
        """Attempts of a device that is not paired, while a pairing window is open."""
        window = Kith(victim, "pair", "as", "guest")
        window.wait_document(lambda d: d.get("event") == "open", "an open window")
        ping = b"\x89\x80" + bytes(4)
        attempts = [{"path": "/" + "x" * 60000},
                    {"raw": b"\x82\xff" + (1 << 62).to_bytes(8, "big") + bytes(70000)},
                    {"raw": b"\x82\xff" + (64 << 20).to_bytes(8, "big") + bytes(1 << 20)},
                    {"pieces": [b"x"] * 10000}, {"raw": ping * 20000}]
        outcomes: list[dict] = []
        while not over.is_set():
            outcomes += hostile.run(self.eve, victim.ip, attempts[:3] if outcomes else attempts)
        window.kill()
        return {"attempts": len(outcomes), "stayed open":
                sum(o["outcome"] == "stays open" for o in outcomes)}

    def _begin(self, row: Row, victim: Device) -> Callable[[], dict]:
        """Starts the attack; calling the answer ends it and tells what was done."""
        if row.attack == "web_socket":
            found: dict = {}
            over = threading.Event()
            thread = threading.Thread(target=lambda: found.update(self._web_socket(victim, over)))
            thread.start()

            def end_thread() -> dict:
                over.set()
                thread.join()
                return found
            return end_thread
        process = self._start(row, victim)

        def end() -> dict:
            out, err = process.communicate(timeout=60)
            if process.returncode:
                raise LabError(f"the attack {row.attack} failed: {err[-600:]}")
            return json.loads(out)
        return end

    def _daemons(self) -> dict[tuple[str, str], list[int]]:
        return {(d.name, name): d.pids(name) for d in (self.laptop, self.desktop)
                for name in DAEMONS}

    def _forget(self, victim: Device, watch: Watch) -> None:
        """A kithd that has just started, under the attack: nobody ever proved to be anywhere."""
        other = self.there if victim is self.here else self.here
        victim.restart("kithd")
        wait_for("the other device", lambda: kithlab.sighting(victim, other), 20, 0.1)
        watch.look()

    def run(self, row: Row, seconds: float) -> Result:
        """One row: an attack of at least so many seconds, questions, a hand-off."""
        victim = self.there if row.victim == "destination" else self.here
        usual_ms = self._median(victim, row.asks)
        spy = Spy(self.here, self.eve.host_path("/tmp") / "hids")
        before, begin = self._daemons(), time.monotonic()
        end_attack = self._begin(row, victim)
        watch = Watch(victim, row.asks)
        time.sleep(1)
        if row.fresh:
            self._forget(victim, watch)
            del before[victim.name, "kithd"]
        move, move_s = self._move()
        time.sleep(max(0, begin + seconds - time.monotonic()))
        rss, cpu = watch.stop()
        done = end_attack()
        spy.stop()
        now = self._daemons()
        died = [f"{name} on {device}" for (device, name), pids in before.items()
                if now[device, name] != pids]
        return Result(row, done, usual_ms, watch.times, [] if row.fresh else watch.failed, rss,
                      cpu, move, move_s, self.usual_s, died)


def find(words: list[str]) -> list[Row]:
    """The rows whose name or attack contains one of the words; all without words."""
    found = [row for row in ROWS
             if not words or any(w in row.name or w in row.attack for w in words)]
    if not found:
        raise LabError(f"no row is called {' or '.join(words)}; --list shows them")
    return found


def stop_on_signals() -> None:
    """So that a lab is taken down when somebody ends the program."""
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: sys.exit(143))
