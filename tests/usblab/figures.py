"""Compares USB with usbmuxd: the same backup, in the same machine.

Runs only when it is named, because speeds under emulation are not reliable.
"""

import time

from judges import PROGRAM, Daemon, right
from machine import peers

PHONES = {
    "32 MiB in one file": ["--seed", "3", "--files", "0", "--bulk", "1x32M"],
    "1,000 files of 1 to 20 KB": ["--seed", "3", "--files", "1000", "--file-size", "1K..20K", "--bulk", "0x1M"],
}
TIMES = 3


def timed(machine, phone, what):
    machine.run(f"{PROGRAM} pair")
    seconds = []
    for _ in range(TIMES):
        phone.counts()
        begun = time.monotonic()
        machine.run(f"{PROGRAM} create --new-store --quiet --full --store /tmp/figures")
        seconds.append(time.monotonic() - begun)
        counts = phone.counts()
        machine.run("rm -rf /tmp/figures")
    right(phone)
    mib = counts["bytes_in"] / 2**20
    best = min(seconds)
    print(
        f"   {what}: {mib:.1f} MiB, best of {TIMES} {best:.1f} s, {mib / best:.2f} MiB/s, "
        f"{counts['transfers_in'] / mib:.0f} IN and {counts['transfers_out'] / mib:.0f} OUT transfers per MiB, "
        f"{counts['waiting']} reads at once",
        flush=True,
    )
    return best


def play(report, machine, _ours):
    def side_by_side(name, flags):
        with machine.plug(0, *flags) as phone:
            over_usb = timed(machine, phone, f"{name}, over USB")
            with Daemon(machine) as daemon:
                daemon.lists()
                through = timed(machine, phone, f"{name}, through usbmuxd")
        print(f"   USB takes {over_usb / through:.2f} of the time", flush=True)
        peers.check(over_usb <= through, "USB is slower than usbmuxd")

    for name, flags in PHONES.items():
        report.scene(f"USB is as fast as usbmuxd: {name}", lambda name=name, flags=flags: side_by_side(name, flags))
