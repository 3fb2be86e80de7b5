# SPDX-License-Identifier: Apache-2.0
"""The judge of a hand-off: never two running copies, never none, nothing lost.

It believes only what the guest itself wrote: ticks on serial, which each host stored with a time
of one common clock, and tick records on disk. Two copies that run both go on from the same tick,
so the same (epoch, tick) twice proves a double run without any clock; the clock proves the order.
Pure functions over plain data, so test_oracle.py can show that each rule catches its fault.
"""
import re
import statistics
from dataclasses import dataclass, field

TICK = re.compile(rb"TICK (\d+) (\d+) (\d+)")
KEYWORDS = (b"TICK ", b"BOOT ", b"READY ", b"RAMPASS ", b"TPMPASS ", b"TPMKEY ", b"BAD ")
Events = dict[str, list[tuple[int, bytes]]]


@dataclass(frozen=True)
class Tick:
    """One tick as a host saw it."""
    ns: int
    host: str
    epoch: int
    number: int
    guest_ms: int


@dataclass
class Report:
    """What the oracle found. `problems` is empty if and only if the promise was kept."""
    problems: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)      # in order of time
    ticks: int = 0
    ticks_lost: int = 0
    overlap: bool = False
    step_back: bool = False
    downtime_ms: list[int] = field(default_factory=list)    # one for each change of host
    longest_stall_ms: int = 0       # longest silence on one host
    period_ms: float = 0.0

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems

    def sentence(self) -> str:
        """The verdict for people."""
        if self.problems:
            return "The oracle objects: " + "; ".join(self.problems) + "."
        way = " -> ".join(self.hosts)
        moved = f", downtime {', '.join(map(str, self.downtime_ms))} ms" if self.downtime_ms else ""
        return (f"{self.ticks} ticks over {way}: no overlap, no step back, "
                f"{self.ticks_lost} lost{moved}.")


def lines(events: Events) -> tuple[list[tuple[int, str, bytes]], list[bytes]]:
    """Complete lines as (ns, host, text) in order of time, and the fragments that fit nowhere.

    A line that was cut in two by the switch-over (its head on the old host, its tail on the new
    one) is put together and counts where and when it was completed.
    """
    pieces = sorted((ns, host, data) for host, chunks in events.items() for ns, data in chunks)
    rest = {host: b"" for host in events}
    done: list[tuple[int, str, bytes]] = []
    last = None
    for ns, host, data in pieces:
        if last not in (None, host) and rest[last] and not rest[host] \
                and not data.startswith(KEYWORDS):
            rest[host], rest[last] = rest[last], b""
        *whole, rest[host] = (rest[host] + data).split(b"\n")
        done += [(ns, host, line.rstrip(b"\r")) for line in whole]
        last = host
    # The very last line of all may simply still be on its way.
    fragments = [text for host, text in rest.items() if text and host != last]
    return done, fragments


def _sort_out(events: Events, report: Report) -> list[Tick]:
    ticks, fragments = [], []
    text, loose = lines(events)
    for ns, host, line in text:
        if match := TICK.fullmatch(line):
            ticks.append(Tick(ns, host, *map(int, match.groups())))
        elif line.startswith(b"BAD "):
            report.problems.append(f"the guest on {host} says {line.decode(errors='replace')}")
        elif b"TICK" in line or re.fullmatch(rb"[ \d]+", line):
            fragments.append(line)
    if torn := fragments + loose:
        report.problems.append(f"{len(torn)} torn lines such as {torn[0]!r}")
    return ticks


def _segments(ticks: list[Tick]) -> list[list[Tick]]:
    """Runs of ticks on one host, in order of time."""
    found: list[list[Tick]] = []
    for tick in ticks:
        if found and found[-1][0].host == tick.host:
            found[-1].append(tick)
        else:
            found.append([tick])
    return found


def _find_doubles(ticks: list[Tick], report: Report) -> None:
    first: dict[tuple[int, int], Tick] = {}
    doubles = [(first[key], tick) for tick in ticks
               if first.setdefault(key := (tick.epoch, tick.number), tick) is not tick]
    if doubles:
        a, b = doubles[0]
        report.overlap = True
        report.problems.append(f"{len(doubles)} ticks ran twice, the first one tick {a.number} of "
                               f"epoch {a.epoch} on {a.host} and on {b.host}")


def _missing(seen: set[tuple[int, int]]) -> int:
    """How many numbers between an epoch's first and last tick were seen on no host."""
    lost = 0
    for epoch in {epoch for epoch, _ in seen}:
        numbers = [number for e, number in seen if e == epoch]
        lost += max(numbers) - min(numbers) + 1 - len(numbers)
    return lost


def _find_steps(ticks: list[Tick], report: Report, reboots: int) -> None:
    epochs = 0
    for before, after in zip(ticks, ticks[1:]):
        if (after.epoch, after.number) <= (before.epoch, before.number):
            if not report.step_back:
                report.problems.append(f"step back from tick {before.number} (epoch {before.epoch},"
                                       f" {before.host}) to {after.number} (epoch {after.epoch}, "
                                       f"{after.host})")
            report.step_back = True
        epochs += after.epoch > before.epoch
    report.ticks_lost = _missing({(tick.epoch, tick.number) for tick in ticks})
    if epochs > reboots:
        report.problems.append(f"the guest was rebooted {epochs} times, {reboots} expected")


def judge(events: Events, route: list[str] | None = None, reboots: int = 0,
          may_lose: int = 0) -> Report:
    """Judges serial events by host.

    route: the hosts on which the guest must have ticked, in order, each for one unbroken time
    (["laptop", "desktop"] for one hand-off); None only forbids overlaps.
    """
    report = Report()
    ticks = _sort_out(events, report)
    if not ticks:
        report.problems.append("the guest never ticked")
        return report
    report.ticks = len(ticks)
    segments = _segments(ticks)
    report.hosts = [segment[0].host for segment in segments]
    gaps = [(b.ns - a.ns) / 1e6 for segment in segments for a, b in zip(segment, segment[1:])]
    report.period_ms = statistics.median(gaps) if gaps else 0.0
    report.longest_stall_ms = round(max(gaps, default=0))
    report.downtime_ms = [max(0, round((after[0].ns - before[-1].ns) / 1e6 - report.period_ms))
                          for before, after in zip(segments, segments[1:])]
    _find_doubles(ticks, report)
    _find_steps(ticks, report, reboots)
    if route is not None and report.hosts != route:
        shown = " -> ".join(report.hosts[:8] + ["..."] * (len(report.hosts) > 8))
        if len(report.hosts) > len(route):
            report.overlap = True
        report.problems.append(f"the guest ran on {shown}, not on {' -> '.join(route)}")
    if report.ticks_lost > may_lose:
        report.problems.append(f"{report.ticks_lost} ticks are missing")
    return report


def judge_disk(source_digest: str, target_digest: str, source_ring: list[tuple[int, int, int]],
               target_ring: list[tuple[int, int, int]], every: int = 5) -> list[str]:
    """Problems of a disk that moved: contents differ, or a record that was durable is gone.

    The rings come from Guest.disk_ring: the source's as left behind, the target's now.
    """
    problems = []
    if source_digest != target_digest:
        problems.append(f"the disks differ: SHA-256 {source_digest[:16]} and {target_digest[:16]}")
    if not target_ring:
        return problems + ["no tick record on the target's disk"]
    for (e1, t1, s1), (e2, t2, s2) in zip(target_ring, target_ring[1:]):
        if s2 != s1 + 1:
            problems.append(f"record {s1 + 1} is missing on disk")
        elif e1 == e2 and t2 != t1 + every:
            problems.append(f"after tick {t1} the disk has tick {t2}")
        elif e2 < e1:
            problems.append(f"the epoch on disk steps back after tick {t1}")
    target = {sequence: (epoch, tick) for epoch, tick, sequence in target_ring}
    oldest = target_ring[0][2]
    lost = [s for e, t, s in source_ring if s >= oldest and target.get(s) != (e, t)]
    if lost:
        problems.append(f"{len(lost)} records of the source are not on the target, first {lost[0]}")
    return problems
