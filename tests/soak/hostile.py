#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The hostile soak: what strangers and other users can do, and whether a VM still moves.

	hostile.py [--only ROW] [--seconds N] [--table FILE] [--list]

Each row is one attack on a lab of laptop, desktop and eve. It is good if a hand-off under it ended
well, kithd stayed below 20 MB, and `kith status` answered every time and about as fast as before.
"""
import argparse
import os
import pathlib
import sys

sys.dont_write_bytecode = True
import arena    # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from lab import Lab     # noqa: E402
from shell import LabError  # noqa: E402


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(prog="./bootstrap soak hostile",
                                description=__doc__.split("\n")[0])
    p.add_argument("--only", action="append", default=[], help="part of a row's name; repeatable")
    p.add_argument("--seconds", type=float, default=12, help="how long each attack lasts")
    p.add_argument("--table", type=pathlib.Path, help="write the table here (markdown)")
    p.add_argument("--list", action="store_true", help="only print the rows")
    return p.parse_args(arguments)


def soak(rows: list[arena.Row], seconds: float) -> list[arena.Result]:
    """Runs the rows in a lab of their own."""
    results = []
    with Lab(f"{os.environ.get('KITH_LAB', '/var/tmp/kith')}-hostile", fresh=True) as lab:
        place = arena.Arena(lab)
        print(f"undisturbed: hand-off {place.usual_s:.1f} s", flush=True)
        for row in rows:
            result = place.run(row, seconds)
            results.append(result)
            print(" | ".join(result.cells()), flush=True)
            for problem in result.problems():
                print(f"    BAD: {problem}", flush=True)
            if result.problems():
                print(kithlab.log_tails(lab, 12), flush=True)
    return results


def main() -> int:
    """Runs the soak; 0 if every row was good."""
    o = options(sys.argv[1:])
    rows = arena.find(o.only)
    if o.list:
        for row in rows:
            print(f"{row.attack:<18} {row.name} (victim: {row.victim})")
        return 0
    if os.geteuid() != 0:
        print("the soak makes devices and needs root", file=sys.stderr)
        return 2
    arena.stop_on_signals()
    results = soak(rows, o.seconds)
    text = arena.table(results)
    print("\n" + text)
    if o.table:
        o.table.write_text(text + "\n")
    bad = [r for r in results if r.problems()]
    print(f"{len(results)} attacks, {len(bad)} bad")
    return 1 if bad or len(results) < len(rows) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"hostile: {error}", file=sys.stderr)
        sys.exit(1)
