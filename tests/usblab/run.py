#!/usr/bin/env python3
"""The USB lab: simulated phones on the USB of a machine under QEMU, with a stock Debian kernel.

    python3 tests/usblab/run.py target/release/idev-backup [judges] [ours] [figures]

First Debian's own programs judge the simulated phone (usbmuxd, idevice_id, ideviceinfo, idevicepair, idevicebackup2), then
our program must do the same without a daemon, and say the right thing when it cannot. `figures` is played only when it is
named: it takes times, which mean something on an idle computer only.

Needs apt's lists, the network, python3-venv, sqlite3 and 400 MB below target/usblab; nothing is installed but the Python judges
below target/peers. Where the packages cannot be had, it says so and fails. Every scene prints `ok NAME` or `FAIL NAME: why`; the
last line counts them. What the machine, the phones and the programs said stays in target/usblab.
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
    # Ended from outside, the machine and the phones end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = peers.Report()
    try:
        machine = Machine(ours)
        with machine:
            machine.run("/lib/systemd/systemd-udevd --daemon && udevadm trigger && udevadm settle")
            for part in wanted:
                PARTS[part](report, machine, ours)
    except Unavailable as why:
        print(f"FAIL the USB lab cannot be had here: {why}", flush=True)
        report.failed += 1
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
