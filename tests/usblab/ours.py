"""Runs our program over USB without a daemon, and checks its results and its errors."""

import shutil
import time
from functools import partial

from judges import PROGRAM, Daemon, reference, right, whole
from machine import NOTICE_SECONDS_MAX, WORK, kernel_module, peers, restore_judge

# Some tens of MiB: small files, and a few large ones that take many messages.
LARGE = ["--seed", "11", "--files", "600", "--file-size", "1K..12K", "--bulk", "3x8M"]
SECOND = ["--seed", "21", "--files", "450", "--file-size", "1K..9K", "--bulk", "1x2M", "--udid", "00008130-001A2B3C4D5E6FAA"]
UDID = "00008130-001A2B3C4D5E6F70"
STORE = "/tmp/store"
DEVICE = "$(dirname $(grep -l 00008130001A2B3C4D5E6F70 /sys/bus/usb/devices/*/serial))"
# A backup that takes longer than any scene.
LONG = ["--seed", "31", "--files", "50", "--bulk", "4x16M"]
SHORT = ["--seed", "41", "--files", "400", "--file-size", "1K..9K", "--bulk", "1x1M"]


def fails(said, *words):
    """Checks that an error has these words and a hint."""
    for word in (*words, "hint:"):
        peers.check(word in said, f"does not say {word!r}: {said[-600:]}")


def create(machine, store, *words, code=0):
    return machine.run(f"{PROGRAM} create --new-store --quiet --store {store} {' '.join(words)}", code=code)


def backs_up(report, machine, ours, folder):
    expected = reference(ours, folder / "large", LARGE, 2)

    def lists():
        said = machine.run(f"{PROGRAM} devices")
        peers.check(UDID in said, said)

    def pairs():
        machine.run(f"{PROGRAM} pair")

    def creates(phone, number):
        create(machine, STORE)
        whole(ours, machine.fetched(STORE) / UDID, expected[number])
        right(phone)

    def verifies():
        machine.run(f"{PROGRAM} verify --store {STORE}")

    with machine.plug(0, *LARGE) as phone:
        report.scene("devices finds the phone without a daemon", lists)
        report.scene("pair pairs over USB", pairs)
        report.scene("create backs up over USB, byte for byte", partial(creates, phone, 0))
        report.scene("create backs up the changes over USB", partial(creates, phone, 1))
        report.scene("verify finds the backup whole in the machine", verifies)
        counts = phone.counts()
        print(
            f"   {counts['transfers_in'] / counts['bytes_in'] * 2**20:.0f} IN transfers per MiB, "
            f"{counts['transfers_out'] / counts['bytes_in'] * 2**20:.0f} OUT, {counts['waiting']} reads at once",
            flush=True,
        )
        report.scene(
            "at least three reads wait for the phone at once", lambda: peers.check(counts["waiting"] >= 3, str(counts))
        )  # fmt: skip


def two_phones(report, machine, ours, folder):
    store = "/tmp/both"
    flags = [SHORT, SECOND]
    expected = [reference(ours, folder / f"both-{at}", each, 1)[0] for at, each in enumerate(flags)]

    def creates(phones):
        create(machine, store, "--all")
        kept = machine.fetched(store)
        for udid, payload, phone in zip([UDID, SECOND[-1]], expected, phones, strict=True):
            whole(ours, kept / udid, payload)
            right(phone)

    with machine.plug(0, *SHORT) as first, machine.plug(1, *SECOND) as second:
        report.scene("create --all backs up two phones at once", lambda: creates([first, second]))


def configurations(report, machine):
    def lists(phone, number):
        configure(number)
        machine.run(f"{PROGRAM} pair")
        right(phone)

    def configure(number):
        # The kernel may still choose a configuration for a phone that was just plugged in, and then
        # replaces ours.
        for _ in range(5):
            machine.run(f"echo {number} >{DEVICE}/bConfigurationValue")
            # The file of an unconfigured device has an empty line.
            taken = machine.run(f"cat {DEVICE}/bConfigurationValue").strip()
            if taken == (str(number) if number else ""):
                return
            time.sleep(0.5)
        peers.check(False, f"the phone is in configuration {taken!r}")

    def takes_it_from_the_kernel(phone, number):
        shutil.copy(kernel_module("usbserial"), machine.lab)
        configure(0)
        machine.run("insmod /lab/usbserial.ko vendor=0x05ac product=0x12a8")
        try:
            configure(number)
            held = machine.run("ls -d /sys/bus/usb/drivers/usbserial_generic/*:*").split()
            peers.check(any(f":{number}." in name for name in held), f"the kernel's driver has {held}")
            machine.run(f"{PROGRAM} pair")
            right(phone)
        finally:
            machine.run("rmmod usbserial")

    with machine.plug(0, *SHORT) as phone:
        for number in (0, 1, 2, 4):
            report.scene(f"the phone is found in configuration {number}", partial(lists, phone, number))
        # In configuration 1 the driver has another interface, and the configuration must change. In
        # configuration 4 it has the interface that our program needs.
        for number in (1, 4):
            report.scene(
                f"a driver of the kernel is detached in configuration {number}", partial(takes_it_from_the_kernel, phone, number)
            )  # fmt: skip


def refusals(report, machine):
    def no_rights():
        said = machine.run(f"HOME=/tmp/guest {PROGRAM} create --new-store --store /tmp/guest", code=None, user="guest")
        fails(said, "/dev/bus/usb/", "udev")
        peers.check(machine.last.code == 1, f"exit code {machine.last.code}")

    def held_by_usbmuxd():
        with Daemon(machine) as daemon:
            daemon.lists()
            said = machine.run(f"{PROGRAM} create --new-store --transport usb --store /tmp/held", code=1)
            fails(said, "usbmuxd")

    def held_by_another(phone):
        phone.counts()
        working = machine.start(f"{PROGRAM} create --new-store --quiet --store /tmp/working")
        phone.told("usb: connection to com.apple.mobilebackup2")
        said = machine.run(f"{PROGRAM} create --new-store --store /tmp/held", code=1)
        fails(said, "another program uses the phone: idev-backup (process ")
        peers.check("self" not in said, said)
        working.wait(0)
        right(phone)

    def rule_gives_rights():
        machine.run(f"mkdir -p /etc/udev/rules.d && {PROGRAM} udev-rule >/etc/udev/rules.d/70-idev-backup.rules && udevadm control --reload")
        with machine.plug(1, *SECOND):
            device = "$(dirname $(grep -l 00008130001A2B3C4D5E6FAA /sys/bus/usb/devices/*/serial))"
            said = machine.run(f"stat -c '%a %G' /dev/$(sed -n s/DEVNAME=//p {device}/uevent)").split()
        machine.run("rm /etc/udev/rules.d/70-idev-backup.rules && udevadm control --reload")
        peers.check(said == ["660", "plugdev"], f"the node has {said}")

    with machine.plug(0, *LONG) as phone:
        report.scene("the error for a user without rights names the udev rule", no_rights)
        report.scene("the printed rule gives rights to the group", rule_gives_rights)
        report.scene("the error of a second program names the first one", lambda: held_by_another(phone))
        report.scene("the error names usbmuxd, which holds the phone", held_by_usbmuxd)


def interruptions(report, machine, ours, folder):
    store = "/tmp/cut"
    expected = reference(ours, folder / "cut", LARGE, 1)[0]

    def cut(phone, how):
        phone.command(how)
        said = create(machine, store, code=8)
        fails(said)

    def goes_on(phone):
        create(machine, store)
        whole(ours, machine.fetched(store) / UDID, expected)
        right(phone)

    def unplugged(phone):
        cut(phone, "unplug-after 6M")
        said = machine.run(f"{PROGRAM} create --new-store --store {store}", code=4)
        fails(said)

    def plugged_in_again(phone):
        phone.command("plug")
        phone.settled()
        goes_on(phone)

    def reset(phone):
        before = phone.says().count("usb: connection to com.apple.mobilebackup2")
        working = machine.start(f"{PROGRAM} create --new-store --quiet --full --store /tmp/reset")
        phone.told("usb: connection to com.apple.mobilebackup2", before + 1)
        phone.command("replug")
        fails(working.wait(8, NOTICE_SECONDS_MAX))

    with machine.plug(0, *LARGE) as phone:
        report.scene("a cable pulled during a transfer ends with exit code 8", partial(unplugged, phone))
        report.scene("the backup is resumed after plugging in, and is whole", partial(plugged_in_again, phone))
        report.scene("a reset during a transfer ends with exit code 8", partial(reset, phone))


def others(report, machine):
    def taken_away(phone):
        working = machine.start(f"{PROGRAM} create --new-store --quiet --store /tmp/taken")
        phone.told("usb: connection to com.apple.mobilebackup2")
        machine.run(f"echo 0 >{DEVICE}/bConfigurationValue")
        fails(working.wait(8, NOTICE_SECONDS_MAX))

    def watches(phone):
        working = machine.start(f"exec {PROGRAM} watch --new-store --store /tmp/watched")
        phone.command("unplug")
        machine.run(f"while grep -qs {phone.serial} /sys/bus/usb/devices/*/serial; do usleep 20000; done")
        phone.command("plug")
        machine.run("until ls /tmp/watched/*/Manifest.db 2>/dev/null; do usleep 100000; done")
        machine.run("killall -INT idev-backup")
        working.wait(None)
        right(phone)

    with machine.plug(0, *LONG) as phone:
        report.scene("a configuration removed during a transfer ends with exit code 8", partial(taken_away, phone))
    with machine.plug(0, *SHORT) as phone:
        report.scene("watch notices a phone that is plugged in, and backs it up", partial(watches, phone))
    with machine.plug(0, "--mux-version", "1", *SHORT) as phone:
        report.scene("an old phone, with version 1 of the mux, is backed up", lambda: (create(machine, "/tmp/old"), right(phone)))


def restores(report, machine):
    """Restores the backup that `backs_up` made to phones of the same kind, which keep a ledger."""
    judge = restore_judge()
    backup = machine.lab / "store" / UDID

    def ledger(name):
        file = WORK / f"{name}.db"
        file.unlink(missing_ok=True)
        return file

    def gives_back(phone, file):
        machine.run(f"{PROGRAM} restore latest --yes --wait --device {UDID} --store {STORE}")
        facts, rows = judge.ledger(file)
        judge.same_rows(rows, judge.expected(backup, None))
        peers.check(facts["code"] == 0, f"the phone recorded {facts['code']}")
        phone.told("usb: plugged in", 2)
        right(phone)

    def is_cut(phone):
        before = judge.tree(backup)
        working = machine.start(f"{PROGRAM} restore latest --yes --device {UDID} --store {STORE}")
        phone.told("usb: connection to com.apple.mobilebackup2")
        # Unplug the phone after about a third of the transfer.
        sent = phone.counts()["bytes_out"]
        while sent < 8 << 20:
            peers.check(not working.ended(), f"the restore ended earlier: {working.said()[-600:]}")
            sent += phone.counts()["bytes_out"]
        phone.command("unplug")
        fails(working.wait(8, NOTICE_SECONDS_MAX), "The phone had received up to", "the backup is untouched")
        peers.check(judge.tree(machine.fetched(STORE) / UDID) == before, "the backup has changed")

    file = ledger("restored")
    with machine.plug(0, *LARGE, "--ledger", file) as phone:
        report.scene("restore transfers every file over USB, and waits for the phone to come back", partial(gives_back, phone, file))
    with machine.plug(0, *LARGE) as phone:
        report.scene("a restore reports a pulled cable, and does not change the backup", partial(is_cut, phone))


def play(report, machine, ours):
    folder = WORK / "reference-ours"
    shutil.rmtree(folder, ignore_errors=True)
    backs_up(report, machine, ours, folder)
    two_phones(report, machine, ours, folder)
    configurations(report, machine)
    refusals(report, machine)
    interruptions(report, machine, ours, folder)
    others(report, machine)
    restores(report, machine)
