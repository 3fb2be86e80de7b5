#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The crash soak: hand-offs into which a fault strikes at a chosen point, each judged.

	crash.py [--runs N] [--jobs J] [--seed S] [--only FAMILY] [--table FILE] [--repeat JSONLINE]

One run is one `kith move` with one or more faults; then everything is mended at once, and within
PATIENCE seconds the world must be at rest; see judge.py for what has to be true then. A run is a
JSON object: what is printed for each can be given to --repeat.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import queue
import signal
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from world import MACHINES, Stopper, World, clear   # noqa: E402  (sets the module path)
import judge    # noqa: E402
import kithlab  # noqa: E402
import plan     # noqa: E402
from shell import LabError  # noqa: E402

PATIENCE = 60
STRIKE_WAIT = 60        # seconds in which a fault must have struck; the end of the move ends it too


def arm(world: World, number: int, fault: dict) -> None:
    """Fills a slot of the stopper from a fault of a run."""
    side, text = fault["at"]
    victim_side, victim = fault.get("by", [side, "?"])
    world.stopper.arm(number, action=fault["act"], nth=fault.get("n", 0), text=text,
                      text_device=world.name(side), victim=victim,
                      victim_device=world.name(victim_side), calls=fault.get("calls"),
                      error=fault.get("error", "EIO"), each=fault.get("each", False))


def strike(world: World, number: int, fault: dict, move: kithlab.Kith) -> bool:
    """Waits until a slot is hit, and then does what belongs to it; False if it never was."""
    end, ended = time.monotonic() + max(STRIKE_WAIT, fault.get("after", 0)), 0.0
    if fault.get("late"):
        arm(world, number, fault)
        for deed in fault.get("before", ()):
            world.do(deed)
    while world.stopper.state(number) != Stopper.HIT:
        now = time.monotonic()
        ended = ended or (now if move.status is not None else 0.0)
        if now > end or (ended and now - ended > fault.get("after", 0.3)):
            return False
        time.sleep(0.001)
    for deed in fault.get("deeds", ()):
        world.cut_happened |= deed.startswith("cut")
        world.do(deed)
    if fault["act"] == "park":
        world.stopper.release(number)
    return True


def faults(world: World, spec: dict, move: kithlab.Kith) -> int:
    """All faults of a run; how many struck."""
    struck = sum(strike(world, i, fault, move) for i, fault in enumerate(spec["faults"]))
    if spec.get("hold"):
        time.sleep(spec["hold"])
    return struck


def run(world: World, spec: dict, patience: float = PATIENCE) -> dict:
    """One run; the spec with its outcome."""
    begin = time.monotonic()
    world.mark()
    source, target = world.side("S"), world.side("D")
    for deed in spec.get("prior", ()):
        world.do(deed)
    for i, fault in enumerate(spec["faults"]):
        if not fault.get("late"):
            arm(world, i, fault)
    move = kithlab.Move(source, "work", target, spec.get("rung"))
    struck = faults(world, spec, move)
    world.mend()
    if spec.get("after"):
        for deed in spec["after"]:
            world.do(deed)
    look, problems, took = judge.settle(world, move, spec, spec.get("patience", patience))
    move.kill()
    world.reap_jobs()
    outcome, problems = judge.verdict(world, spec, look, problems)
    return {**spec, "struck": struck, "outcome": outcome,
            "detail": [f"{kind}: {text}" for kind, text in problems], "remarks": world.remarks,
            "command": move.status, "settled_s": round(took, 2),
            "seconds": round(time.monotonic() - begin, 2)}


def guarded(world: World, spec: dict, patience: float, bad_folder: pathlib.Path) -> dict:
    """run(), where the harness's own failure is an outcome too; a spoilt world is rebuilt."""
    try:
        machine = spec.get("machine", "plain")
        if world.spoilt or world.machine != machine:
            world.up(machine)
        result = run(world, spec, patience)
    except Exception as problem:     # pylint: disable=broad-except
        result = {**spec, "struck": 0, "outcome": "HARNESS",
                  "detail": [f"{type(problem).__name__}: {problem}",
                             *traceback.format_exc().splitlines()[-6:]]}
    good = result["outcome"] in judge.GOOD
    if not good or os.environ.get("KITH_SOAK_KEEP"):
        folder = bad_folder / f"{result['outcome']}-{spec['id']}"
        try:
            world.keep_logs(folder)
            (folder / "run.json").write_text(json.dumps(result, indent=1) + "\n")
        except (LabError, OSError) as problem:
            result["detail"].append(f"logs: {problem}")
        world.reap_jobs()
    world.spoilt = not good
    return result


def leave(*_unused) -> None:
    """The first signal begins the teardown, a second one does not disturb it."""
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, signal.SIG_IGN)
    sys.exit(143)


def worker(number: int, todo, done, patience: float, bad_folder: pathlib.Path) -> None:
    """A process with a lab of its own, until there is nothing left to do. However it ends, its lab
    goes: guests that nobody watches cost a tenth of a core each."""
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with World(number) as world:
        while True:
            try:
                spec = todo.get_nowait()
            except queue.Empty:
                break
            done.put(guarded(world, spec, patience, bad_folder))
    done.put(None)


class Soak:
    """All labs, the results as they come."""

    def __init__(self, specs: list[dict], jobs: int, patience: float, folder: pathlib.Path):
        # A lab is made anew for another machine.
        self.specs = sorted(specs, key=lambda spec: list(MACHINES).index(
            spec.get("machine", "plain")))
        self.patience, self.folder = patience, folder
        self.todo, self.done = multiprocessing.Queue(), multiprocessing.Queue()
        self.results: list[dict] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.todo.cancel_join_thread()
        for spec in self.specs:
            self.todo.put(spec)
        self.jobs = [multiprocessing.Process(target=worker, args=(
            n, self.todo, self.done, patience, folder)) for n in range(min(jobs, len(specs)))]

    def stop(self) -> None:
        """Ends all labs; they take themselves down."""
        for job in self.jobs:
            if job.is_alive():
                job.terminate()
        for job in self.jobs:
            if job.pid:
                job.join()

    def results_as_they_come(self):
        """Yields each result; ends when all labs have ended."""
        try:
            yield from self._results()
        finally:
            self.stop()

    def _results(self):
        time.sleep(0.1)     # until the queue's own thread has filled the pipe
        for job in self.jobs:
            job.start()
            time.sleep(0.5)
        left = len(self.jobs)
        while left:
            try:
                result = self.done.get(timeout=1)
            except queue.Empty:
                if not any(job.is_alive() for job in self.jobs):
                    break
                continue
            if result is None:
                left -= 1
                continue
            self.results.append(result)
            yield result
        for job in self.jobs:
            job.join(60)


def table(results: list[dict]) -> str:
    """Victim x moment x outcome as markdown."""
    rows: dict[tuple[str, str], dict[str, int]] = {}
    outcomes = [o for o in (*judge.GOOD, "missed", *judge.BAD, "HARNESS")
                if any(outcome_of(r) == o for r in results)]
    for result in results:
        row = rows.setdefault((result["victim"], result["moment"]), {})
        row[outcome_of(result)] = row.get(outcome_of(result), 0) + 1
    lines = ["| victim | moment | runs | " + " | ".join(outcomes) + " |",
             "|---" * (3 + len(outcomes)) + "|"]
    for (victim, moment), row in sorted(rows.items()):
        cells = [str(row.get(o, "")) for o in outcomes]
        lines.append(f"| {victim} | {moment} | {sum(row.values())} | " + " | ".join(cells) + " |")
    total = [str(sum(row.get(o, 0) for row in rows.values())) for o in outcomes]
    lines.append(f"| **sum** | | {len(results)} | " + " | ".join(total) + " |")
    return "\n".join(lines) + "\n"


def outcome_of(result: dict) -> str:
    """A good run in which nothing struck is only a move."""
    if result["outcome"] in judge.GOOD and not result["struck"] and result["faults"]:
        return "missed"
    return result["outcome"]


def show(result: dict) -> str:
    """A line for people."""
    words = "; ".join(result["detail"])[:400]
    return (f"{outcome_of(result):<12} {result['victim']} @ {result['moment']} {result['id']} "
            f"({result.get('seconds', 0)} s){': ' + words if words else ''}")


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(prog="./bootstrap soak crash", description=__doc__.split("\n")[0])
    p.add_argument("--runs", type=int, default=1000)
    p.add_argument("--jobs", type=int, default=6)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", action="append", help="family, or part of a run's id")
    p.add_argument("--table", type=pathlib.Path, help="write the table here (markdown)")
    p.add_argument("--lines", type=pathlib.Path, help="write a JSON line for each run here")
    p.add_argument("--bad", type=pathlib.Path, help="folder for the logs of bad runs")
    p.add_argument("--patience", type=float, default=PATIENCE)
    p.add_argument("--trace", type=int, default=10, metavar="N",
                   help="hold each Nth run against the model (0: none)")
    p.add_argument("--repeat", action="append", help="a run's JSON line, or a file of them")
    p.add_argument("--list", action="store_true", help="only print the plan")
    return p.parse_args(arguments)


def chosen(o: argparse.Namespace) -> list[dict]:
    """The runs to make."""
    if not o.repeat:
        runs = plan.choose(o.runs, o.seed, o.only, warden=plan.has_warden())
        return [{**run, "trace": bool(o.trace) and i % o.trace == 0} for i, run in enumerate(runs)]
    found = []
    for text in o.repeat:
        lines = pathlib.Path(text).read_text().splitlines() if os.path.exists(text) else [text]
        found += [json.loads(line) for line in lines if line.strip()]
    return found


def main() -> int:
    """Runs the soak; 0 if nothing bad was seen."""
    o = options(sys.argv[1:])
    specs = chosen(o)
    if o.list:
        for spec in specs:
            print(json.dumps(spec))
        print(f"{len(specs)} runs", file=sys.stderr)
        return 0
    if os.geteuid() != 0:
        print("the soak makes devices and needs root", file=sys.stderr)
        return 2
    begin = time.monotonic()
    bad = o.bad or pathlib.Path(f"{plan.default_folder()}/bad")
    lines_path = o.lines or bad.parent / "runs.jsonl"
    bad.mkdir(parents=True, exist_ok=True)
    for number in range(o.jobs):
        clear(number)
    soak = Soak(specs, o.jobs, o.patience, bad)
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, leave)
    with open(lines_path, "w", buffering=1) as lines:
        try:
            for result in soak.results_as_they_come():
                lines.write(json.dumps(result) + "\n")
                n, minutes = len(soak.results), (time.monotonic() - begin) / 60
                print(f"{n:>5} {n / minutes:5.1f}/min {show(result)}", flush=True)
        except SystemExit:
            print("ended early; the table so far:")
    text = table(soak.results)
    print(text)
    if o.table:
        o.table.write_text(text)
    wrong = [r for r in soak.results if r["outcome"] not in judge.GOOD]
    minutes = (time.monotonic() - begin) / 60
    print(f"{len(soak.results)} runs in {minutes:.1f} min ({len(soak.results) / minutes:.1f}/min),"
          f" {len(wrong)} bad; lines in {lines_path}, logs of bad runs in {bad}")
    return 1 if wrong or len(soak.results) < len(specs) else 0


if __name__ == "__main__":
    sys.exit(main())
