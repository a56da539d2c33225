#!/usr/bin/env python3
"""The USB lab: simulated phones on the USB of a machine under QEMU with a stock Debian kernel.

    python3 tests/usblab/run.py target/release/idev-backup [judges] [ours] [figures]

First, Debian's programs judge the simulated phone (usbmuxd, idevice_id, ideviceinfo, idevicepair,
idevicebackup2). Then our program must do the same without a daemon, and report the right errors if
it cannot. `figures` runs only if it is named: it measures times, which are useful only on an idle
computer.

Needs apt's lists, the network, python3-venv, sqlite3 and 400 MB below target/usblab. Nothing is
installed except the Python judges below target/peers. If the packages are not available, the lab
reports this and fails. Every scene prints `ok NAME` or `FAIL NAME: why`; the last line counts them.
The output of the machine, the phones and the programs stays in target/usblab.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

import figures
import judges
import ours as our_program
from machine import WORK, Machine, Unavailable, peers

PARTS = {"judges": judges.play, "ours": our_program.play, "figures": figures.play}


def main():
    wanted = sys.argv[2:] or ["judges", "ours"]
    if len(sys.argv) < 2 or not set(wanted) <= set(PARTS):
        sys.exit(__doc__)
    ours = Path(sys.argv[1]).resolve(strict=True)
    WORK.mkdir(parents=True, exist_ok=True)
    for name in ("home", "reference-small"):
        shutil.rmtree(WORK / name, ignore_errors=True)
    os.environ["HOME"] = str(WORK / "home")
    for name in [name for name in os.environ if name.startswith(("XDG_", "IDEV_BACKUP_"))]:
        del os.environ[name]
    # A SIGTERM ends the machine and the phones too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = peers.Report()
    try:
        machine = Machine(ours)
        with machine:
            machine.run("/lib/systemd/systemd-udevd --daemon && udevadm trigger && udevadm settle")
            for part in wanted:
                PARTS[part](report, machine, ours)
    except Unavailable as why:
        print(f"FAIL the USB lab cannot run here: {why}", flush=True)
        report.failed += 1
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
