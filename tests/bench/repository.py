#!/usr/bin/env python3
"""Measures pushes to a repository beside `restic backup` of the same folder.

    python3 tests/bench/repository.py target/release/idev-backup [--on DIR] [--runs N] [push] [nothing]

`push`: the first push of a backup beside `restic backup` of its folder and our record, in turn, each
into an empty repository; and the peak memory of both programs during a push. `nothing`: the time to
find that none of 90 backups is new, and the calls of restic for that. Prints Markdown. Times depend
on the machine; the ratios and the calls do not. Needs restic.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from measure import Bench, Cost

MIB = 1 << 20


def peak(pid):
    """Returns the peak memory of a process in bytes; 0 if it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def children_of(pid):
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


class Repository:
    """A phone with backups, and empty repositories for them."""

    def __init__(self, bench):
        self.bench, self.folder = bench, bench.folder
        password = self.folder / "password"
        password.write_text("of the repository\n")
        self.place, self.empty = self.folder / "repository", self.folder / "empty"
        bench.environment.update(
            RESTIC_PASSWORD_FILE=str(password), IDEV_BACKUP_REPOSITORY_PASSWORD_FILE=str(password),
            RESTIC_REPOSITORY=str(self.place), IDEV_BACKUP_REPOSITORY_LOCATION=str(self.place),
            IDEV_BACKUP_STORE=str(self.folder / "store"),
        )  # fmt: skip
        bench.cost("restic", "-q", "init", "-r", self.empty)
        self.renew()

    def renew(self):
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.rmtree(self.folder / "home" / ".cache", ignore_errors=True)
        shutil.copytree(self.empty, self.place)
        os.sync()

    def ours(self, *words):
        return [str(word) for word in (self.bench.ours, "repository", *words)]

    def restic(self):
        """Returns the cost of `restic backup` of what a push sends, with the same options."""
        (record,) = (self.folder / "store" / ".idev-backup").glob("*/*/snapshot.json")
        udid, stamp = record.parts[-3:-1]
        words = ("restic", "backup", "--json", "--ignore-inode", "--ignore-ctime", "--force", "--", ".")
        beside = f"../.idev-backup/{udid}/{stamp}"
        return Cost(*words, beside, cwd=self.folder / "store" / udid, env=self.bench.environment)

    def peaks(self, *words):
        """Runs a command of ours, and returns its peak memory and that of its children."""
        process = subprocess.Popen(self.ours(*words, "--quiet"), stdout=subprocess.DEVNULL, env=self.bench.environment)
        own = others = 0
        while process.poll() is None:
            own = max(own, peak(process.pid))
            others = max([others, *(peak(child) for child in children_of(process.pid))])
            time.sleep(0.005)
        if process.returncode != 0:
            sys.exit(f"{words} ended with {process.returncode}")
        return own, others


def push(ours, on, runs):
    with Bench(ours, on, "--files", "20000", "--bulk", "8x256M") as bench:
        bench.create()
        repository = Repository(bench)
        size = sum(path.stat().st_size for path in (bench.folder / "store").rglob("*") if path.is_file())
        programs = {
            "restic backup": repository.restic,
            "repository push": lambda: bench.cost(*repository.ours("push", "--no-check")),
        }
        costs = {name: [] for name in programs}
        for number in range(runs):
            for name in sorted(programs, reverse=number % 2 == 1):
                repository.renew()
                costs[name].append(programs[name]())
        repository.renew()
        own, others = repository.peaks("push", "--no-check")
        print(f"\n### First push of {size / 1e9:.1f} GB in 20,000 files, {runs} runs each, in turn\n")
        print("| | median | all | processor | peak |\n|---|---|---|---|---|")
        for name, all_of_them in costs.items():
            seconds = [cost.seconds for cost in all_of_them]
            cpu = statistics.median(cost.cpu for cost in all_of_them)
            memory = others if name == "restic backup" else own
            spread = f"{min(seconds):.1f} to {max(seconds):.1f} s"
            print(f"| {name} | {statistics.median(seconds):.2f} s | {spread} | {cpu:.1f} s | {memory / MIB:.0f} MiB |")
        ratios = [us.seconds / them.seconds for us, them in zip(costs["repository push"], costs["restic backup"], strict=True)]
        print(f"\nRatio: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), at most 1.05 wanted.")
        print(f"Our own peak beside restic's: {own / MIB:.0f} MiB, less than 64 MiB wanted.", flush=True)


def nothing(ours, on, runs):
    backups = 90
    with Bench(ours, on, "--files", "200", "--file-size", "1..1000", "--bulk", "0x0") as bench:
        for _ in range(backups):
            bench.create("--keep-last", "100")
        repository = Repository(bench)
        bench.cost(*repository.ours("push", "--no-check"))
        stored = subprocess.run(["restic", "snapshots", "--json"], env=bench.environment, capture_output=True, text=True, check=True)
        if stored.stdout.count('"idev-backup"') != backups:
            sys.exit(f"the repository does not hold {backups} backups")
        times = {"repository push": [], "restic snapshots --json": [], "restic version": []}
        for _ in range(runs):
            times["repository push"].append(bench.cost(*repository.ours("push")).seconds)
            for name in list(times)[1:]:
                times[name].append(bench.cost(*name.split()).seconds)
        log = bench.folder / "calls"
        wrapper = bench.folder / "logging-restic"
        wrapper.write_text(f'#!/bin/sh\necho "$1" >> {log}\nexec restic "$@"\n')
        wrapper.chmod(0o755)
        bench.cost(*repository.ours("push", "--restic", wrapper))
        print(f"\n### A push of {backups} backups, none of which is new, {runs} runs\n")
        print("| | median | all |\n|---|---|---|")
        for name, all_of_them in times.items():
            print(f"| {name} | {statistics.median(all_of_them):.2f} s | {min(all_of_them):.2f} to {max(all_of_them):.2f} s |")
        print(f"\nCalls of restic: {', '.join(log.read_text().split())}.", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path)
    parser.add_argument("what", nargs="*", metavar="push|nothing")
    parser.add_argument("--on", default="/dev/shm")
    parser.add_argument("--runs", type=int, default=5)
    words = parser.parse_args()
    measures = {"push": push, "nothing": nothing}
    for what in words.what or measures:
        measures[what](words.ours.resolve(), words.on, words.runs)


if __name__ == "__main__":
    main()
