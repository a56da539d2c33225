"""Runs Debian's own programs on the simulated phone, to judge that it behaves like a phone."""

import re
import time

from machine import WAIT_SECONDS_MAX, WORK, Failed, peers

SMALL = ["--seed", "7", "--files", "400", "--file-size", "1K..9K", "--bulk", "1x2M"]
PROGRAM = "/program/idev-backup"


class Daemon:
    """usbmuxd in the machine, until the end of the block."""

    def __init__(self, machine):
        self.machine = machine

    def __enter__(self):
        self.call = self.machine.start("exec usbmuxd -f -v")
        return self

    def __exit__(self, *_):
        # usbmuxd 1.1.1 may hang or crash if it loses a phone during a transfer, so it is stopped
        # while nothing is transferred.
        self.machine.run("killall -q usbmuxd; while pidof usbmuxd >/dev/null; do usleep 50000; done; rm -f /run/usbmuxd*", code=None)

    def lists(self, count=1):
        """Waits until usbmuxd lists `count` phones. Its preflight takes a while."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while len(found := self.machine.run("idevice_id -l", code=None).split()) != count:
            if time.monotonic() > deadline:
                raise Failed(f"usbmuxd lists {found}: {self.call.said()[-600:]}")
            time.sleep(0.3)
        return found


def right(phone):
    """Checks that the phone saw no violation of the protocol."""
    peers.check(not phone.missteps(), "\n    ".join(phone.missteps()[:5]))


def whole(ours, backup, reference):
    """Checks on the host that a backup has the same bytes and every file that is listed."""
    peers.manifest_is_whole(backup)
    peers.same_payload(peers.payload(backup), reference)
    peers.run(ours, "verify", backup, also_ok=[3])


def reference(ours, folder, flags, times):
    """Returns what a phone with these flags sends in its first `times` backups, without USB."""
    folder.mkdir(parents=True)
    payloads = []
    store = folder / "store"
    phone = peers.Phone(ours, folder)
    phone.command = [ours, "simulate", *flags]
    with phone:
        for _ in range(times):
            peers.run(ours, "create", "--new-store", "--store", store)
            backup = next(b for b in store.iterdir() if re.fullmatch(r"[0-9A-F]{8}-[0-9A-F]{16}", b.name))
            payloads.append(peers.payload(backup))
    return payloads


def play(report, machine, ours):
    machine.run("mkdir /tmp/idevicebackup2")
    expected = reference(ours, WORK / "reference-small", SMALL, 3)
    with machine.plug(0, *SMALL) as phone, Daemon(machine) as daemon:

        def pairs():
            for verb in ("pair", "validate"):
                said = machine.run(f"idevicepair {verb}")
                peers.check("SUCCESS" in said, said)

        def version():
            said = machine.run("ideviceinfo -k ProductVersion").strip()
            peers.check(said == "18.6.2", said)

        def backs_up(number):
            said = machine.run("idevicebackup2 backup /tmp/idevicebackup2")
            peers.check("Backup Successful" in said, said[-600:])
            peers.check(("Incremental" if number else "Full") + " backup mode" in said, said[:600])
            backup = machine.fetched("/tmp/idevicebackup2") / udid
            peers.phone_finished(backup, full=not number)
            whole(ours, backup, expected[number])
            right(phone)

        def ours_through_it():
            told = phone.says().count("usb: mux version")
            machine.run(f"{PROGRAM} create --new-store --store /tmp/through")
            whole(ours, machine.fetched("/tmp/through") / udid, expected[2])
            peers.check(phone.says().count("usb: mux version") == told, "a program other than usbmuxd used the phone")
            right(phone)

        found = report.scene("usbmuxd finds the phone, and idevice_id lists it", daemon.lists)
        if not found:
            return
        udid = found[0]
        report.scene("ideviceinfo reads the version over USB", version)
        report.scene("idevicepair pairs and validates over USB", pairs)
        report.scene("idevicebackup2 makes a full backup over USB", lambda: backs_up(0))
        report.scene("idevicebackup2 makes an incremental backup over USB", lambda: backs_up(1))
        report.scene("create uses the daemon's socket if it answers", ours_through_it)
