#!/usr/bin/env python3
"""Restores to the simulated phone, with every client that can restore, what every client wrote.

    python3 tests/peers/restores.py target/release/idev-backup [--all] [WORD]

Our program is one of the clients. Nine restores combine every client with every writer, every kind
of backup and every age in pairs; `--all` plays all 36 combinations. The phone records what it
received (`simulate --ledger`). Each row and its bytes must equal what judges read in the backup:
sqlite3 and plistlib, and iphone_backup_decrypt if it is encrypted. To add a client, add a row to
CLIENTS. With WORD, only scenes with that word in their names are played. Needs what run.py needs.
"""

import itertools
import json
import os
import plistlib
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from run import HERE, VENV, WORK, Phone, Report, check, install_judges, payload, phone_finished, run, same_payload

PASSWORD = "a backup's password"
UDID = "00008130-001A2B3C4D5E6F70"
OTHER = "00008130-0000000000ABCDEF"


@dataclass
class Wish:
    """The options of a restore, in the terms of the protocol."""

    system: bool = True
    reboot: bool = True
    copy: bool = False
    settings: bool = True  # Restore the settings of the backup.
    remove: bool = False
    apps: bool = True
    password: str | None = None

    def facts(self):
        return {
            "RestoreSystemFiles": self.system,
            "RestoreShouldReboot": self.reboot,
            "RestoreDontCopyBackup": not self.copy,
            "RestorePreserveSettings": not self.settings,
            "RemoveItemsNotRestored": self.remove,
            "with_password": self.password is not None,
        }


# The clients. Each one has the command that restores `backup` to the phone `udid`, and recognizes
# success and an error code of the phone in its output.


class Idevicebackup2:
    name = "idevicebackup2"
    copies_whole = False  # 1.3.0 copies folders as empty files.

    def restores(self, backup, udid, wish):
        words = ["idevicebackup2", "-u", udid, "-s", backup.name, "restore"]
        words += ["--system"] * wish.system + ["--no-reboot"] * (not wish.reboot) + ["--copy"] * wish.copy
        words += ["--settings"] * wish.settings + ["--remove"] * wish.remove + ["--skip-apps"] * (not wish.apps)
        return [*words, *(["--password", wish.password] if wish.password else []), backup.parent]

    def succeeded(self, said, code):
        return code == 0 and "Restore Successful" in said

    def was_told(self, said, exit_code, code):
        return f"ErrorCode {code}:" in said and exit_code == 256 - code


class Pymobiledevice3:
    name = "pymobiledevice3"
    copies_whole = True

    def restores(self, backup, udid, wish):
        def flag(name, on):
            return f"--{name}" if on else f"--no-{name}"

        words = [VENV / "bin" / "pymobiledevice3", "--no-color", "backup2", "restore", "--udid", udid, "--source", backup.name]
        # Its --settings keeps the settings of the phone.
        words += [flag("system", wish.system), flag("reboot", wish.reboot), flag("copy", wish.copy)]
        words += [flag("settings", not wish.settings), flag("remove", wish.remove), flag("skip-apps", not wish.apps)]
        return [*words, *(["--password", wish.password] if wish.password else []), backup.parent]

    def succeeded(self, said, code):
        return code == 0

    def was_told(self, said, exit_code, code):
        return f"'ErrorCode': {code}" in said and exit_code != 0


class Ours:
    """Our program, which checks first: it does not ask the phone for a restore that must fail."""

    name = "idev-backup"
    program = None  # Set by main.
    refuses_itself = (203, 205, 207, 211)

    def restores(self, backup, udid, wish):
        words = [self.program, "restore", "--yes", "--device", udid]
        words += ["--no-system-files"] * (not wish.system) + ["--no-reboot"] * (not wish.reboot)
        words += ["--keep-settings"] * (not wish.settings) + ["--remove-others"] * wish.remove + ["--no-apps"] * (not wish.apps)
        if wish.password:
            os.environ["IDEV_BACKUP_PASSWORD"] = wish.password
        else:
            os.environ.pop("IDEV_BACKUP_PASSWORD", None)
        return [*words, backup]

    def succeeded(self, said, code):
        return code == 0 and "has received the backup" in said

    def was_told(self, said, exit_code, code):
        return f"MBErrorDomain/{code})" in said and exit_code == {106: 7, 208: 5}.get(code, 1)

    def refused(self, said, exit_code, code):
        words = {203: "newer than the phone's", 205: "the backup is damaged", 207: "password does not open", 211: "Find My is switched on"}
        return words[code] in said and exit_code == {207: 6}.get(code, 1)


CLIENTS = [Idevicebackup2(), Pymobiledevice3(), Ours()]


def words_of(client, backup, udid, wish):
    """Runs a client, and returns its output and its exit code."""
    address = os.environ["USBMUXD_SOCKET_ADDRESS"]
    if client.name == "pymobiledevice3":
        # It would read "UNIX" as a host.
        os.environ["USBMUXD_SOCKET_ADDRESS"] = address.removeprefix("UNIX:")
    try:
        done = subprocess.run(
            [str(word) for word in client.restores(backup, udid, wish)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=300,
        )  # fmt: skip
    finally:
        os.environ["USBMUXD_SOCKET_ADDRESS"] = address
    return done.stdout, done.returncode


# The writers. Each one makes a backup of the connected phone in `folder`.


def idevicebackup2_writes(_, folder):
    run("idevicebackup2", "backup", folder)


def pymobiledevice3_writes(_, folder):
    address = os.environ["USBMUXD_SOCKET_ADDRESS"]
    os.environ["USBMUXD_SOCKET_ADDRESS"] = address.removeprefix("UNIX:")
    try:
        full = [] if any(folder.glob("*/Manifest.db")) else ["--full"]
        run(VENV / "bin" / "pymobiledevice3", "--no-color", "backup2", "backup", *full, folder)
    finally:
        os.environ["USBMUXD_SOCKET_ADDRESS"] = address


def create_writes(ours, folder):
    password = folder.parent / "password"
    password.write_text(PASSWORD + "\n")
    run(ours, "create", "--new-store", "--store", folder, "--password-file", password)


WRITERS = {"idevicebackup2": idevicebackup2_writes, "pymobiledevice3": pymobiledevice3_writes, "create": create_writes}


def written(ours, stage, writer, encrypted):
    """Makes a full backup, and then an incremental one over it.

    Returns {"full": folder, "after changes": folder}.
    """
    folder = stage / f"{writer}{' encrypted' if encrypted else ''}"
    (folder / "now").mkdir(parents=True)
    password = folder / "password"
    password.write_text(PASSWORD + "\n")
    found = {}
    with Phone(ours, folder, *(["--password-file", password] if encrypted else [])):
        run("idevicepair", "pair")
        for name in ("full", "after changes"):
            WRITERS[writer](ours, folder / "now")
            backup = folder / "now" / UDID
            phone_finished(backup, full=name == "full")
            found[name] = Path(shutil.copytree(backup, folder / name / UDID))
    return found


# Comparisons


def expected(backup, password):
    """Returns {fileID: row} as judges read the backup."""
    if password:
        os.environ["PASSWORD"] = password
    try:
        said = run(VENV / "bin" / "python", HERE / "read_backup.py", backup)
    finally:
        os.environ.pop("PASSWORD", None)
    return {row["fileID"]: row for row in map(json.loads, said.splitlines())}


def ledger(path):
    """Returns the facts that the phone recorded, and {fileID: row} of what it received."""
    check(path.is_file(), "the phone wrote no ledger")
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    facts = dict(tuple(row) for row in database.execute("SELECT name, value FROM Facts"))
    rows = {row["fileID"]: dict(row) for row in database.execute("SELECT * FROM Restored")}
    database.close()
    return facts, rows


def same_rows(got, wanted):
    check(len(wanted) >= 400, f"the judges find only {len(wanted)} rows")
    check(got.keys() == wanted.keys(), f"{len(wanted.keys() - got.keys())} rows are missing, {len(got.keys() - wanted.keys())} are extra")
    for name, row in wanted.items():
        for key, value in row.items():
            check(got[name][key] == value, f"{row['domain']} {row['relativePath']}: {key} is {got[name][key]!r}, expected {value!r}")


def tree(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def device_ids(address):
    """Returns the DeviceIDs, which change when a phone comes back.

    Sends its own request, because clients show only UDIDs, which stay the same.
    """
    body = plistlib.dumps({"MessageType": "ListDevices", "ClientVersionString": "judge", "ProgName": "judge"})
    with socket.socket(socket.AF_UNIX) as usbmuxd:
        usbmuxd.connect(address.removeprefix("UNIX:"))
        usbmuxd.sendall(struct.pack("<IIII", len(body) + 16, 1, 8, 1) + body)
        stream = usbmuxd.makefile("rb")
        length = struct.unpack("<I", stream.read(16)[:4])[0]
        return [device["DeviceID"] for device in plistlib.loads(stream.read(length - 16))["DeviceList"]]


def comes_back(before):
    deadline = time.monotonic() + 30
    while not (now := device_ids(os.environ["USBMUXD_SOCKET_ADDRESS"])) or now == before:
        check(time.monotonic() < deadline, "the phone did not come back")
        time.sleep(0.05)
    return now


class Fresh(Phone):
    """A paired phone with a ledger that has not received a restore yet."""

    def __init__(self, ours, folder, *flags):
        folder.mkdir(parents=True)
        self.ledger = folder / "ledger.db"
        super().__init__(ours, folder, "--ledger", self.ledger, *flags)

    def __enter__(self):
        super().__enter__()
        run("idevicepair", "pair")
        return self


# Scenes


def restores(ours, stage, client, backup, wish, udid=UDID, flags=()):
    """Plays a restore that must succeed and transfer everything; returns the facts."""
    before = tree(backup)
    wanted = expected(backup, wish.password)
    with Fresh(ours, stage, "--udid", udid, *flags) as phone:
        there = device_ids(os.environ["USBMUXD_SOCKET_ADDRESS"])
        said, code = words_of(client, backup, udid, wish)
        check(client.succeeded(said, code), said[-900:])
        facts, rows = ledger(phone.ledger)
        same_rows(rows, wanted)
        check(facts["code"] == 0 and facts["source"] == backup.name and facts["target"] == udid, f"the phone recorded {facts}")
        for name, value in wish.facts().items():
            check(facts[name] == value, f"{name} is {facts[name]}, expected {value}")
        check(facts["longest_frame"] <= 32_768, f"a frame held {facts['longest_frame']} bytes")
        if wish.reboot:
            comes_back(there)
        else:
            check(device_ids(os.environ["USBMUXD_SOCKET_ADDRESS"]) == there, "the phone went away")
    check(tree(backup) == before, "the folder is not as it was")
    applications = plistlib.loads((backup / "Info.plist").read_bytes()).get("Applications")
    if wish.apps and applications:
        check(facts["applications"] and plistlib.loads(facts["applications"]) == applications, "other applications arrived")
    elif not wish.apps:
        check(facts["applications"] is None, "applications arrived")
    return facts


def is_told(ours, stage, client, backup, code, wish, flags):
    """Plays a restore that the phone refuses: the client reports the code and changes no file."""
    before = tree(backup)
    with Fresh(ours, stage, *flags) as phone:
        said, exit_code = words_of(client, backup, UDID, wish)
        if code in getattr(client, "refuses_itself", ()):
            check(client.refused(said, exit_code, code), f"ended with {exit_code}: {said[-900:]}")
            check(not phone.ledger.exists(), "the client still asked the phone")
            check(tree(backup) == before, "the folder is not as it was")
            return
        check(client.was_told(said, exit_code, code), f"ended with {exit_code}: {said[-900:]}")
        facts, _ = ledger(phone.ledger)
        check(facts["code"] == code, f"the phone recorded {facts['code']}")
    check(tree(backup) == before, "the folder is not as it was")


def is_told_after_no_reboot(ours, stage, client, backup):
    """Plays a restore without a reboot; the phone must refuse the next one."""
    with Fresh(ours, stage) as phone:
        said, code = words_of(client, backup, UDID, Wish(reboot=False))
        check(client.succeeded(said, code) and ledger(phone.ledger)[0]["code"] == 0, said[-900:])
        said, code = words_of(client, backup, UDID, Wish())
        check(client.was_told(said, code, 102), f"ended with {code}: {said[-900:]}")
        facts, rows = ledger(phone.ledger)
        check(facts["code"] == 102 and len(rows) >= 400, "the phone must refuse it after everything was sent")


def copies(ours, stage, client, backup):
    """Plays a restore with a copy: the client first copies the folder to a name with the time.

    Only the Info.plist of the copy may differ.
    """
    folder = stage / "folder" / UDID
    shutil.copytree(backup, folder)
    before = tree(folder)
    with Fresh(ours, stage / "phone") as phone:
        said, code = words_of(client, folder, UDID, Wish(copy=True))
        check(client.succeeded(said, code), said[-900:])
        facts, rows = ledger(phone.ledger)
        same_rows(rows, expected(backup, None))
    made = [other for other in folder.parent.iterdir() if other != folder]
    check([copy.name for copy in made] == [facts["copied_to"]], f"made {made}, but the phone asked for {facts['copied_to']}")
    check(re.fullmatch(re.escape(UDID) + r"-\d{8}-\d{6}", made[0].name), made[0].name)
    check(tree(folder) == before, "the folder is not as it was")
    if not client.copies_whole:
        return
    copy = tree(made[0])
    info = plistlib.loads(copy.pop("Info.plist"))
    check(info["Target Identifier"] == made[0].name, f"its Target Identifier is {info['Target Identifier']}")
    del before["Info.plist"]
    check(copy == before, "the copy differs")


def gives_back(ours, stage, client, backup):
    """Restores a phone's own backup: the phone's next backup must hold the same files."""
    (stage / "after").mkdir(parents=True)
    with Fresh(ours, stage / "phone"):
        run("idevicebackup2", "backup", stage / "after")
        reference = payload(stage / "after" / UDID)
        shutil.copytree(stage / "after", stage / "first")
        run("idevicebackup2", "backup", stage / "after")
        check(payload(stage / "after" / UDID) != reference, "nothing changed in between")
        there = device_ids(os.environ["USBMUXD_SOCKET_ADDRESS"])
        said, code = words_of(client, stage / "first" / UDID, UDID, Wish())
        check(client.succeeded(said, code), said[-900:])
        comes_back(there)
        run("idevicebackup2", "backup", "--full", stage / "after")
        same_payload(payload(stage / "after" / UDID), reference)


REFUSED = {
    "an iCloud restore is running": (25, ["--icloud-restore"]),
    "the backup has a newer iOS": (203, ["--ios", "17.4"]),
    "the phone lacks free space": (106, ["--free-space", "1M"]),
    "Find My is on": (211, ["--find-my"]),
    "the phone is not set up": (212, ["--setup-unfinished"]),
    "the passcode is not entered": (208, ["--passcode", "never", "--passcode-limit", "1"]),
}


def damaged(backup, folder):
    """Copies a backup, and changes one byte of a file for which the phone recorded a digest."""
    shutil.copytree(backup, folder / UDID)
    name = "31bb7ba8914766d4ba40d6dfb6113c8b614be442"  # AddressBook.sqlitedb
    file = folder / UDID / name[:2] / name
    content = bytearray(file.read_bytes())
    content[5000] ^= 1
    file.write_bytes(content)
    return folder / UDID


# The restores of a run without --all: client, writer, encrypted, age. For any two columns, every
# combination of their values is in at least one row.
PAIRS = [
    ("idevicebackup2", "idevicebackup2", False, "full"),
    ("idevicebackup2", "pymobiledevice3", True, "full"),
    ("idevicebackup2", "create", False, "after changes"),
    ("pymobiledevice3", "idevicebackup2", True, "after changes"),
    ("pymobiledevice3", "pymobiledevice3", False, "full"),
    ("pymobiledevice3", "create", True, "full"),
    ("idev-backup", "idevicebackup2", False, "after changes"),
    ("idev-backup", "pymobiledevice3", True, "after changes"),
    ("idev-backup", "create", False, "full"),
]


def covers_every_pair():
    """Fails if a combination of the values of two columns is not in any row of PAIRS."""
    columns = [[client.name for client in CLIENTS], list(WRITERS), [False, True], ["full", "after changes"]]
    for one, other in itertools.combinations(range(4), 2):
        seen = {(row[one], row[other]) for row in PAIRS}
        missing = set(itertools.product(columns[one], columns[other])) - seen
        check(not missing, f"PAIRS lacks {missing}")


def play(report, ours, stage, word="", everything=False):
    counter = iter(range(10_000))

    def scene(name, act, *rest):
        if word not in name:
            return None
        return report.scene(name, partial(act, ours, stage / f"scene {next(counter)}", *rest))

    backups = {}
    for writer in WRITERS:
        for encrypted in (False, True):
            made = report.scene(
                f"{writer} writes {'encrypted' if encrypted else 'plain'} backups", partial(written, ours, stage, writer, encrypted)
            )
            for name, folder in (made or {}).items():
                backups[writer, encrypted, name] = folder
    report.scene("the restores cover every pair", covers_every_pair)
    for client in CLIENTS:
        who = client.name
        for (writer, encrypted, name), folder in backups.items():
            if not everything and (who, writer, encrypted, name) not in PAIRS:
                continue
            wish = Wish(password=PASSWORD if encrypted else None)
            what = f"{writer}'s {'encrypted ' if encrypted else ''}backup ({name})"
            scene(f"{who} restores {what}", restores, client, folder, wish)
        plain, locked = backups.get(("create", False, "after changes")), backups.get(("create", True, "full"))
        if not plain or not locked:
            continue
        for what, wish in {
            "without --system": Wish(system=False),
            "with the phone's settings": Wish(settings=False),
            "with --remove": Wish(remove=True),
            "without applications": Wish(apps=False),
            "without a reboot": Wish(reboot=False),
        }.items():
            scene(f"{who} restores {what}", restores, client, plain, wish)
        scene(f"{who} restores to another phone", restores, client, plain, Wish(), OTHER)
        scene(f"{who} restores after the passcode", restores, client, plain, Wish(), UDID, ["--passcode", "after:1"])
        scene(f"{who} reports a wrong password (207)", is_told, client, locked, 207, Wish(password="wrong"), [])
        for why, (code, flags) in REFUSED.items():
            scene(f"{who} reports that {why} ({code})", is_told, client, plain, code, Wish(), flags)
        bad = damaged(plain, stage / f"damaged for {who}")
        scene(f"{who} reports that a file is damaged (205)", is_told, client, bad, 205, Wish(), [])
        scene(f"{who} reports a missing reboot (102)", is_told_after_no_reboot, client, plain)
        if hasattr(client, "copies_whole"):  # Ours never requests the copy.
            scene(f"{who} copies the folder first", copies, client, plain)
        scene(f"{who} restores the phone to its earlier state", gives_back, client, plain)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    words = sys.argv[2:]
    everything = "--all" in words
    words = [word for word in words if word != "--all"]
    if len(words) > 1:
        sys.exit(__doc__)
    install_judges()
    ours = Path(sys.argv[1]).resolve(strict=True)
    Ours.program = ours
    stage = WORK / "restores"  # Kept until the next run, for inspection.
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "home").mkdir(parents=True)
    os.environ["HOME"] = str(stage / "home")
    for name in [name for name in os.environ if name.startswith(("XDG_", "IDEV_BACKUP_"))]:
        del os.environ[name]
    report = Report()
    play(report, ours, stage, *words, everything=everything)
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
