#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hand-offs that are killed, frozen and cut at chosen points: half of the ways in which they broke
once (F1-F12), and a few other runs of the soak. `./bootstrap soak crash` makes them all."""
import os
import pathlib
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))
import crash    # noqa: E402  (sets the module path)
import judge    # noqa: E402
import plan     # noqa: E402
from lab import Lab     # noqa: E402
from tap import Tap     # noqa: E402
from world import clear, root_of     # noqa: E402

SPREAD = 3              # runs of the soak besides the named ones
JOBS = 5                # labs side by side: most of the time is waiting
SEED = 5


def chosen() -> list[dict]:
    """Named runs first. Arguments choose some of all: `test_crash.py F6 F8`, or `named`."""
    words = sys.argv[1:]
    runs = [run for run in plan.named() if plan.has_warden() or run["family"] != "warden"]
    runs = runs if words else runs[::2]
    runs += [run for run in plan.choose(SPREAD + len(runs), SEED, warden=plan.has_warden())
             if run["family"] not in ("named", "sealed") and "patience" not in run][:SPREAD]
    return [run for run in runs if not words or any(word in run["id"] for word in words)]


def explain(tap: Tap, folder: pathlib.Path, detail: list[str]) -> None:
    """The last words of the guests, movers and policyds of a run that went wrong; what was wrong
    comes last, because the end of a log is what people see of it."""
    for path in (*sorted(folder.glob("*-kith-*.log")), *sorted(folder.glob("*-work.log"))):
        tap.note(f"--- {path.name}")
        for line in path.read_text(errors="replace").splitlines()[-25:]:
            tap.note(line)
    for line in detail:
        tap.note(f"wrong: {line}")


def body(tap: Tap, folder: pathlib.Path) -> None:
    """Runs all; a line for each."""
    begin = time.monotonic()
    runs = chosen()
    soak = crash.Soak(runs, JOBS, crash.PATIENCE, folder)
    for result in soak.results_as_they_come():
        name = f"{result['victim']} @ {result['moment']} ({result['id']})"
        good = tap.ok(result["outcome"] in judge.GOOD, f"{crash.outcome_of(result)}: {name}",
                      "\n".join(result["detail"]))
        if not good:
            explain(tap, folder / f"{result['outcome']}-{result['id']}", result["detail"])
    tap.equal(len(soak.results), len(runs), "every run was made")
    tap.note(f"{len(runs)} runs in {time.monotonic() - begin:.0f} s")


def main() -> None:
    """TAP; the labs are gone afterwards."""
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return
    for number in range(JOBS):
        clear(number)
    with Tap() as tap, tempfile.TemporaryDirectory(prefix="kith-crash-") as folder:
        body(tap, pathlib.Path(folder))
        left = [text for n in range(JOBS) for text in Lab(root_of(n)).leftovers()]
        tap.equal(left, [], "teardown leaves nothing")


if __name__ == "__main__":
    main()
