#!/usr/bin/env python3
"""The judges: programs of other projects, run against our simulated phone and our backups.

    python3 tests/peers/run.py target/release/idev-backup [--all]

Needs libimobiledevice-utils, sqlite3 and python3-venv. The judges written in Python
(requirements.txt, requirements-content.txt) are installed below target/peers. `--all` also builds
imessage-exporter there, which takes some minutes. Every scene prints `ok NAME` or `FAIL NAME: why`.
The last line counts them; the exit code is 1 if one failed.
"""

import hashlib
import json
import os
import plistlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parents[1] / "fixtures" / "traffic"
WORK = HERE.parents[1] / "target" / "peers"
VENV = WORK / "venv"
CONTENT_VENV = WORK / "venv-content"
IMESSAGE_EXPORTER = WORK / "cargo" / "bin" / "imessage-exporter"
IMESSAGE_EXPORTER_VERSION = "5.0.1"
PHONE = {"--files": "400", "--bulk": "2x3M", "--seed": "7"}
SECONDS_MAX = 300  # For each program.


def phone_flags(flags):
    """Returns the flags of a simulated phone; those of `flags` replace ours."""
    return [word for name, value in PHONE.items() if name not in flags for word in (name, value)] + list(flags)


class Failed(Exception):
    """The reason why a scene failed, for its line in the report."""


def check(condition, why):
    if not condition:
        raise Failed(why)


def run(*command, cwd=None, also_ok=()):
    """Runs a program, and returns its stdout and stderr together.

    Fails the scene with the last lines of the output if the exit code is not 0 or in `also_ok`.
    """
    command = [str(word) for word in command]
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=SECONDS_MAX,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"`{' '.join(command)}` did not end within {SECONDS_MAX} s") from None
    if done.returncode not in (0, *also_ok):
        words = done.stdout.strip().splitlines()[-8:]
        raise Failed("\n    ".join([f"`{' '.join(command)}` ended with {done.returncode}", *words]))
    return done.stdout


class Phone:
    """A simulated phone in its own process. Clients find it through the environment."""

    def __init__(self, ours, folder, *flags):
        self.command = [ours, "simulate", *phone_flags(flags)]
        self.log = folder / "phone.log"
        # The path of a socket must be short.
        self.socket_folder = tempfile.TemporaryDirectory(prefix="phone-")

    def __enter__(self):
        socket = Path(self.socket_folder.name) / "sim.sock"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*self.command, "--listen", f"UNIX:{socket}"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 60
        while not (address := re.search(r"^USBMUXD_SOCKET_ADDRESS=(\S+)$", self.log.read_text(), re.M)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise Failed(f"the simulated phone did not start: {self.log.read_text().strip()[-600:]}")
            time.sleep(0.05)
        os.environ["USBMUXD_SOCKET_ADDRESS"] = address[1]
        return self

    def __exit__(self, *_):
        os.environ.pop("USBMUXD_SOCKET_ADDRESS", None)
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.socket_folder.cleanup()


class Replayed(Phone):
    """The phone of a recorded scene, in its own process; `said` returns the client's departures."""

    def __init__(self, ours, folder, scene):
        super().__init__(ours, folder)
        self.command = [ours, "trace", "replay", FIXTURES / scene / "trace.jsonl", "--idle", "2"]

    def said(self):
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            raise Failed("the replay did not notice the end of the client") from None
        return self.log.read_text().splitlines()[1:]


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def scene(self, name, act):
        """Plays one scene, and returns its result for later scenes, or None if the scene failed."""
        started = time.monotonic()
        try:
            result = act()
        except Exception as why:  # Any error in a scene makes that scene fail.
            self.failed += 1
            detail = str(why) if isinstance(why, Failed) else f"{type(why).__name__}: {why}"
            print(f"FAIL {name}: {detail}", flush=True)
            return None
        self.passed += 1
        print(f"ok {name} ({time.monotonic() - started:.1f} s)", flush=True)
        return result


# Checks that scenes share


def payload(backup):
    """Returns {fileID: SHA-256} of the files that a phone sent.

    Leaves out property lists and Manifest.db, which contain dates.
    """
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in backup.glob("[0-9a-f][0-9a-f]/*")}


def same_payload(ours, theirs):
    check(theirs, "there is nothing to compare with")
    for what, names in (
        ("lacks", theirs.keys() - ours.keys()),
        ("has in addition", ours.keys() - theirs.keys()),
        ("differs in", {name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]}),
    ):
        check(not names, f"{what} {len(names)} files, for one {min(names, default='')}")


def manifest_is_whole(backup):
    """Checks that sqlite3 accepts Manifest.db, and that each file listed in it exists."""
    verdict = run("sqlite3", "-readonly", backup / "Manifest.db", "pragma integrity_check").strip()
    check(verdict == "ok", f"integrity_check: {verdict}")
    listed = run("sqlite3", "-readonly", backup / "Manifest.db", "select fileID from Files where flags = 1").split()
    check(len(listed) >= 400, f"Manifest.db lists only {len(listed)} files")
    missing = [name for name in listed if not (backup / name[:2] / name).is_file()]
    check(not missing, f"{len(missing)} of {len(listed)} files are missing, for one {missing[:1]}")


def phone_finished(backup, full):
    """Checks in Status.plist that the phone finished the backup."""
    status = plistlib.loads((backup / "Status.plist").read_bytes())
    check(status["SnapshotState"] == "finished", f"SnapshotState is {status['SnapshotState']}")
    check(status["IsFullBackup"] is full, f"IsFullBackup is {status['IsFullBackup']}")


def ours_finds_it_whole(ours, backup):
    run(ours, "verify", backup, also_ok=[3])


# Real clients on our simulated phone


def libimobiledevice(report, ours, folder):
    """Plays the tools of libimobiledevice, and returns the payload of a first full backup."""

    def lists():
        udids = run("idevice_id", "-l").split()
        check(len(udids) == 1 and re.fullmatch(r"[0-9A-F]{8}-[0-9A-F]{16}|[0-9a-f]{40}", udids[0]), f"lists {udids}")
        return udids[0]

    def version():
        said = run("ideviceinfo", "-k", "ProductVersion").strip()
        check(re.fullmatch(r"\d+(\.\d+)+", said), f"ProductVersion is {said!r}")

    def pairs():
        for verb in ("pair", "validate"):
            said = run("idevicepair", verb)
            check("SUCCESS" in said, f"{verb}: {said}")

    def backs_up(full):
        said = run("idevicebackup2", "backup", *(["--full"] if full else []), folder)
        check("Backup Successful" in said, said[-600:])
        check(("Full" if full else "Incremental") + " backup mode" in said, f"says another mode:\n{said[:600]}")
        phone_finished(folder / udid, full)
        return int(re.search(r"Received (\d+) files", said)[1])

    def takes_less():
        received = backs_up(full=False)
        check(first and received < first, f"received {received} files after {first}")

    udid = report.scene("idevice_id lists the phone", lists)
    report.scene("ideviceinfo reads the version", version)
    report.scene("idevicepair pairs and validates", pairs)
    if not udid:
        return None
    first = report.scene("idevicebackup2 makes a full backup", lambda: backs_up(full=True))
    reference = payload(folder / udid)
    report.scene("idevicebackup2's folder is whole", lambda: manifest_is_whole(folder / udid))
    report.scene("idevicebackup2 makes an incremental backup", takes_less)
    report.scene("idevicebackup2's folder is whole after it", lambda: manifest_is_whole(folder / udid))
    report.scene("we find idevicebackup2's folder whole", lambda: ours_finds_it_whole(ours, folder / udid))
    return reference


def pymobiledevice3(report, ours, folder, reference):
    program = VENV / "bin" / "pymobiledevice3"
    # It would read "UNIX" as a host.
    os.environ["USBMUXD_SOCKET_ADDRESS"] = os.environ["USBMUXD_SOCKET_ADDRESS"].removeprefix("UNIX:")

    def lists():
        said = run(program, "--no-color", "usbmux", "list")
        udid = re.search(r'"(?:UniqueDeviceID|Identifier)": "([^"]+)"', said)
        check(udid, said[-600:])
        return udid[1]

    def info():
        said = run(program, "--no-color", "lockdown", "info")
        check(re.search(r'"ProductVersion": "\d', said), said[-600:])

    def backs_up(full):
        run(program, "--no-color", "backup2", "backup", *(["--full"] if full else []), folder)
        phone_finished(folder / udid, full)

    udid = report.scene("pymobiledevice3 lists the phone", lists)
    report.scene("pymobiledevice3 reads lockdown values", info)
    if not udid:
        return
    report.scene("pymobiledevice3 makes a full backup", lambda: backs_up(full=True))
    report.scene("pymobiledevice3 fetched what idevicebackup2 fetched", lambda: same_payload(payload(folder / udid), reference))
    report.scene("pymobiledevice3 makes an incremental backup", lambda: backs_up(full=False))
    report.scene("pymobiledevice3's folder is whole", lambda: manifest_is_whole(folder / udid))
    report.scene("we find pymobiledevice3's folder whole", lambda: ours_finds_it_whole(ours, folder / udid))


# Encryption. These are passwords of a simulated phone; other clients accept them only as arguments.


def opened(library, backup, password):
    """Returns {fileID: SHA-256} of the encrypted files, as a judge decrypts them."""
    os.environ["PASSWORD"] = password
    try:
        said = run(VENV / "bin" / "python", HERE / "open_encrypted.py", library, backup)
    finally:
        del os.environ["PASSWORD"]
    return dict(line.split() for line in said.splitlines())


def holds(files, reference):
    """Checks the files of an encrypted backup against the plain backup of the same phone.

    It must hold the same files except the empty one, and six that only encrypted backups have.
    """
    reference = {name: digest for name, digest in reference.items() if digest != hashlib.sha256(b"").hexdigest()}
    check(reference, "there is nothing to compare with")
    same_payload({name: files[name] for name in files if name in reference}, reference)
    check(len(files) == len(reference) + 6, f"holds {len(files) - len(reference)} files that the plain backup lacks")


def will_encrypt():
    return run("ideviceinfo", "-q", "com.apple.mobile.backup", "-k", "WillEncrypt").strip()


def idevicebackup2_encrypts(report, ours, folder, reference):
    def speaks(*words, says, leaves, also_ok=()):
        said = run("idevicebackup2", *words, folder, also_ok=also_ok)
        check(says in said, said[-600:])
        check(will_encrypt() == leaves, f"WillEncrypt is {will_encrypt()}")

    def backs_up(mode):
        said = run("idevicebackup2", "backup", folder)
        check("Backup Successful" in said and f"{mode} backup mode" in said, said[-600:])
        return next(folder.glob("*/Manifest.plist")).parent

    def opens(password):
        backup = next(folder.glob("*/Manifest.plist")).parent
        for library in ("iphone_backup_decrypt", "pyiosbackup"):
            holds(opened(library, backup, password), reference)

    run("idevicepair", "pair")
    refused = {"says": "ErrorCode 207", "also_ok": range(256)}
    report.scene(
        "idevicebackup2 switches encryption on",
        lambda: speaks("encryption", "on", "one", says="enabled successfully", leaves="true"),
    )
    report.scene("idevicebackup2 makes an encrypted backup", lambda: backs_up("Full"))
    report.scene("the judges open idevicebackup2's encrypted backup", lambda: opens("one"))
    report.scene(
        "idevicebackup2 reports a wrong password",
        lambda: speaks("changepw", "wrong", "two", leaves="true", **refused),
    )
    report.scene(
        "idevicebackup2 changes the password",
        lambda: speaks("changepw", "one", "two", says="changed successfully", leaves="true"),
    )
    report.scene(
        "idevicebackup2 switches encryption off",
        lambda: speaks("encryption", "off", "two", says="disabled successfully", leaves="false"),
    )


def pymobiledevice3_encrypts(report, ours, folder, reference):
    run("idevicepair", "pair")
    address = os.environ["USBMUXD_SOCKET_ADDRESS"]

    def speaks(*words, leaves, also_ok=()):
        os.environ["USBMUXD_SOCKET_ADDRESS"] = address.removeprefix("UNIX:")
        try:
            said = run(VENV / "bin" / "pymobiledevice3", "--no-color", "backup2", *words, also_ok=also_ok)
        finally:
            os.environ["USBMUXD_SOCKET_ADDRESS"] = address
        check(will_encrypt() == leaves, f"WillEncrypt is {will_encrypt()}")
        return said

    def is_refused():
        said = speaks("change-password", "wrong", "two", leaves="true", also_ok=[1])
        check("'ErrorCode': 207" in said, said[-600:])

    def backs_up():
        speaks("backup", folder, leaves="true")
        backup = next(folder.glob("*/Manifest.plist")).parent
        holds(opened("iphone_backup_decrypt", backup, "one"), reference)

    report.scene("pymobiledevice3 switches encryption on", lambda: speaks("encryption", "on", "one", leaves="true"))
    report.scene("pymobiledevice3 makes an encrypted backup that opens", backs_up)
    report.scene("pymobiledevice3 reports a wrong password", is_refused)
    report.scene("pymobiledevice3 changes the password", lambda: speaks("change-password", "one", "two", leaves="true"))
    report.scene("pymobiledevice3 switches encryption off", lambda: speaks("encryption", "off", "two", leaves="false"))


def our_encrypted_backups(report, ours, store, reference):
    """Plays our encrypted backups to the judges.

    pyiosbackup expects a key and padding in empty files too, but phones write neither for them. It
    reads all other files.
    """
    passwords = store / "passwords"
    passwords.mkdir()
    for name in ("one", "two"):
        (passwords / name).write_text(f"password {name}\n")

    def encryption(*words):
        return run(ours, "encryption", *words)

    def creates():
        said = run(ours, "create", "--new-store", "--store", store, "--password-file", passwords / "one")
        check("and the password opens it" in said, said[-600:])
        return next(b for b in store.iterdir() if re.fullmatch(r"[0-9A-F]{8}-[0-9A-F]{16}", b.name))

    def switches_on():
        encryption("on", "--store", store, "--password-file", passwords / "one")
        check(will_encrypt() == "true", f"WillEncrypt is {will_encrypt()}")

    def changes_and_switches_off():
        old, new = (["--password-file", passwords / "one"], ["--new-password-file", passwords / "two"])
        encryption("change", "--store", store, *old, *new)
        encryption("off", "--store", store, "--password-file", passwords / "two")
        check(will_encrypt() == "false", f"WillEncrypt is {will_encrypt()}")

    run("idevicepair", "pair")
    report.scene("`encryption` switches encryption on", switches_on)
    backup = report.scene("create makes an encrypted backup that its password opens", creates)
    if not backup:
        return
    for library in ("iphone_backup_decrypt", "pyiosbackup"):
        report.scene(f"{library} opens every file of the backup", lambda: holds(opened(library, backup, "password one"), reference))

    def next_client_goes_on():
        folder = store.parent / "continued"
        shutil.copytree(backup, folder / backup.name)
        said = run("idevicebackup2", "backup", folder)
        check("Backup Successful" in said and "Incremental backup mode" in said, said[-600:])
        for library in ("iphone_backup_decrypt", "pyiosbackup"):
            files = opened(library, folder / backup.name, "password one")
            check(len(files) >= 400, f"{library} opens {len(files)} files")

    report.scene("idevicebackup2 continues in our encrypted folder, and every file opens", next_client_goes_on)
    report.scene("`encryption` changes the password, and switches encryption off", changes_and_switches_off)


# Our backups, read and continued by other programs


def our_backups(report, ours, store, reference):
    def creates(full):
        run(ours, "create", "--new-store", "--store", store)
        archived = re.compile(r"-\d{8}-\d{6}$")
        backups = [b for b in store.iterdir() if (b / "Status.plist").is_file() and not archived.search(b.name)]
        check(len(backups) == 1, f"the store holds {[entry.name for entry in store.iterdir()]}")
        phone_finished(backups[0], full)
        return backups[0]

    def sums_agree():
        lists = sorted((store / ".idev-backup" / backup.name).glob("[0-9]*-[0-9]*/SHA256SUMS"))
        check(lists, "SHA256SUMS is missing")
        listed = len(lists[-1].read_text().splitlines())
        check(listed >= 400, f"SHA256SUMS lists only {listed} files")
        run("sha256sum", "--check", "--strict", "--quiet", lists[-1], cwd=backup)

    def metrics_are_read():
        file = store / "metrics.prom"
        run(ours, "list", "--check", "--metrics", "--to", file, "--store", store)
        read = json.loads(run(VENV / "bin" / "python", HERE / "read_metrics.py", file))
        file.unlink()
        said = json.loads(run(ours, "list", "--json", "--store", store))
        phone = said["phones"][0]
        labels = {"store": str(store), "udid": backup.name, "name": phone["name"]}
        for name, value in (("overdue", 0), ("snapshots", phone["snapshots"]), ("total_bytes", phone["bytes"])):
            found = [sample for sample in read if sample["name"] == f"idev_backup_{name}"]
            check(found == [{"name": f"idev_backup_{name}", "labels": labels, "value": value}], f"{name}: {found}")

    def pyiosbackup_reads():
        said = run(VENV / "bin" / "python", HERE / "read_pyiosbackup.py", backup)
        check(int(said.split()[0]) >= 400, said)

    def next_client_goes_on():
        folder = store.parent / "continued"
        shutil.copytree(backup, folder / backup.name)
        said = run("idevicebackup2", "backup", folder)
        check("Backup Successful" in said and "Incremental backup mode" in said, said[-600:])
        phone_finished(folder / backup.name, full=False)
        manifest_is_whole(folder / backup.name)

    backup = report.scene("create makes a full backup", lambda: creates(full=True))
    if not backup:
        return
    report.scene("create stored what idevicebackup2 fetched", lambda: same_payload(payload(backup), reference))
    report.scene("create makes an incremental backup", lambda: creates(full=False))
    report.scene("prometheus_client reads the metrics", metrics_are_read)
    report.scene("sqlite3 finds Manifest.db whole", lambda: manifest_is_whole(backup))
    report.scene("sha256sum finds every file as received", sums_agree)
    report.scene("pyiosbackup reads every file", pyiosbackup_reads)
    report.scene("idevicebackup2 continues in our folder", next_client_goes_on)


# Our exports, and the same content as other readers see it


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line]


def our_exports(report, ours, stage):
    """Compares our exports with what other programs read in the same databases.

    mvt reads the column `text` only, which phones fill up to iOS 15, and it stops at a time that is
    a word, so it gets a copy without that one.
    """
    python, mvt = CONTENT_VENV / "bin" / "python", CONTENT_VENV / "bin" / "mvt-ios"

    def exported(ios, scene="content"):
        folder = stage / f"{scene}-{ios}"
        folder.mkdir(parents=True)
        store = folder / "store"
        with Phone(ours, folder, "--ios", ios):
            run(ours, "create", "--new-store", "--store", store)
        backup = next(b for b in store.iterdir() if (b / "Status.plist").is_file())
        run(ours, "export", "messages", backup, "--to", folder / "messages", "--format", "jsonl", also_ok=[3])
        run(ours, "export", "contacts", backup, "--to", folder / "contacts", "--format", "vcf,jsonl")
        messages = json_lines((folder / "messages" / "messages.jsonl").read_text())
        contacts = json_lines((folder / "contacts" / "contacts.jsonl").read_text())
        check(len(messages) > 100 and len(contacts) > 5, f"{len(messages)} messages, {len(contacts)} contacts")
        return backup, folder, messages, contacts

    def bodies_agree(ios):
        backup, _, messages, _ = exported(ios)
        database = backup / "3d" / "3d0d7e5fb2ce288813306e4d4636395e047a3d28"
        read = {body["guid"]: body for body in json_lines(run(python, HERE / "read_content.py", "bodies", database))}
        compared = 0
        for message in messages:
            body = read.get(message["guid"])
            if body is None:
                continue
            if "error" in body:
                check("undecodable" in message, f"{message['guid']}: the judge says {body['error']}")
                continue
            # We join the texts around attachments by line breaks.
            text = body["text"].replace("\ufffc", "").replace("\n", "")
            ours_text = (message.get("text") or "").replace("\n", "")
            check(text == ours_text, f"{message['guid']}: {text[:80]!r} is {ours_text[:80]!r}")
            compared += 1
        check(compared > 100, f"only {compared} bodies")

    def mvt_agrees():
        backup, folder, messages, contacts = exported("15.8.3")
        copy = folder / "copy"
        shutil.copytree(backup, copy)
        database = copy / "3d" / "3d0d7e5fb2ce288813306e4d4636395e047a3d28"
        run("sqlite3", database, "UPDATE message SET date = 0 WHERE typeof(date) = 'text'")
        quiet = ["--disable-update-check", "--disable-indicator-update-check"]
        run(mvt, *quiet, "check-backup", "--fast", "-o", folder / "mvt", copy)
        known = {message["guid"]: message for message in messages}
        texts = 0
        for message in json.loads((folder / "mvt" / "sms.json").read_text()):
            # Reactions are with their messages in our export.
            if message["associated_message_type"] in range(1000, 4000) and message["guid"] not in known:
                continue
            ours_message = known[message["guid"]]
            text = (message["text"] or "").replace("\ufffc", "").replace("\n", "").strip()
            ours_text = (ours_message.get("text") or "").replace("\n", "").strip()
            check(text == ours_text, f"{message['guid']}: {text[:80]!r} is {ours_text[:80]!r}")
            sender = ours_message.get("sender", {}).get("address")
            check(message["direction"] == "sent" or sender == message["phone_number"], f"{message['guid']}: {sender}")
            texts += 1
        check(texts > 60, f"only {texts} messages")
        theirs = {(c["First"], c["Last"], c["value"]) for c in json.loads((folder / "mvt" / "contacts.json").read_text())}
        lists = ("numbers", "mails", "urls", "related")
        values = {(p.get("first"), p.get("last"), one["value"]) for p in contacts for name in lists for one in p.get(name, [])}
        check(len(values) > 10 and values <= theirs, f"{values - theirs}")
        # It shows anniversaries too, as numbers.
        more = {value for _, _, value in theirs - values}
        check(all(value.lstrip("-").isdigit() for value in more), f"{more}")

    def cards_agree():
        _, folder, _, contacts = exported("26.1")
        read = json_lines(run(python, HERE / "read_content.py", "cards", folder / "contacts" / "contacts.vcf"))
        check(len(read) == len(contacts), f"{len(read)} cards, {len(contacts)} contacts")
        for card, person in zip(read, contacts):
            for field in ("name", "first", "last", "organization", "note"):
                wanted = (person.get(field) or "").replace("\r\n", "\n")
                check((card[field] or "") == wanted, f"{person['name']}: {field} is {card[field]!r}")
            for field in ("numbers", "mails"):
                wanted = [one["value"] for one in person.get(field, [])]
                check(card[field] == wanted, f"{person['name']}: {field} are {card[field]}")
            check(card["has_picture"] == ("picture" in person), f"{person['name']}: {card['has_picture']}")

    def lists(ios):
        """Returns our records of the kinds that are lists, from an encrypted backup."""
        folder = stage / f"lists-{ios}"
        folder.mkdir(parents=True)
        password = folder / "password.txt"
        password.write_text("correct horse\n")
        store = folder / "store"
        with Phone(ours, folder, "--ios", ios, "--password-file", password):
            run(ours, "create", "--new-store", "--store", store)
        backup = next(b for b in store.iterdir() if (b / "Status.plist").is_file())
        for kind in ("calls", "calendar", "reminders", "safari"):
            formats = "jsonl,ics" if kind in ("calendar", "reminders") else "jsonl"
            to = folder / kind
            run(ours, "export", kind, backup, "--password-file", password, "--to", to, "--format", formats)
        return backup, folder

    def records(folder, kind, name=None):
        return json_lines((folder / kind / f"{name or kind}.jsonl").read_text())

    def mvt_agrees_on_lists():
        backup, folder = lists("18.6.2")
        quiet = ["--disable-update-check", "--disable-indicator-update-check"]
        run(mvt, *quiet, "decrypt-backup", "-d", folder / "decrypted", "-p", "correct horse", backup)
        run(mvt, *quiet, "check-backup", "--fast", "-o", folder / "mvt", folder / "decrypted")
        theirs = lambda name: json.loads((folder / "mvt" / f"{name}.json").read_text())
        calls = records(folder, "calls")
        wanted = sorted((call["time"][:19], call["seconds"]) for call in calls)
        read = sorted((call["isodate"][:19].replace(" ", "T"), call["duration"]) for call in theirs("calls"))
        check(len(calls) > 60 and read == wanted, f"{len(read)} calls, {len(wanted)} of ours")
        # A group call has its members elsewhere.
        wanted = sorted(one["people"][0]["address"] for one in calls if len(one["people"]) == 1)
        read = sorted(call["number"] for call in theirs("calls") if call["number"])
        check(read == wanted, f"{read[:5]}, {wanted[:5]}")
        visits = records(folder, "safari", "history")
        wanted = sorted((visit["time"][:19], visit["url"]) for visit in visits)
        read = sorted((visit["isodate"][:19].replace(" ", "T"), visit["url"]) for visit in theirs("safari_history"))
        check(len(visits) > 100 and read == wanted, f"{len(read)} visits, {len(wanted)} of ours")
        wanted = sorted(event["title"] for event in records(folder, "calendar"))
        read = sorted(event["summary"] for event in theirs("calendar"))
        check(len(wanted) > 40 and read == wanted, f"{len(read)} events, {len(wanted)} of ours")

    def icalendar_agrees():
        _, folder = lists("26.1")
        line_breaks = lambda text: (text or "").replace("\r\n", "\n")
        read = json_lines(run(python, HERE / "read_content.py", "events", folder / "calendar" / "calendar.ics"))
        events = records(folder, "calendar")
        check(len(read) == len(events) > 40, f"{len(read)} events, {len(events)} of ours")
        for found, event in zip(read, events):
            replaced = event.get("replaces", {})
            address = lambda one: f"mailto:{one['address']}"
            place = event.get("location", {})
            place = ", ".join(part.replace("\n", ", ") for part in (place.get("title"), place.get("address")) if part)
            for field, wanted in {
                "uid": replaced.get("uid", event["uid"]), "title": line_breaks(event.get("title")),
                "notes": line_breaks(event.get("notes")) or None, "location": place or None, "start": event["start"],
                "end": event["end"], "zone": event.get("time_zone"), "url": event.get("url"), "calendar": event["calendar"],
                "status": event["status"].upper() if "status" in event else None,
                "exceptions": event.get("exceptions", []), "replaces": replaced.get("start"),
                "created": event["created"], "modified": event["modified"],
                "organizer": address(event["organizer"]) if "organizer" in event else None,
                "attendees": [address(guest) for guest in event.get("attendees", [])],
                "names": [guest["name"].replace('"', "") for guest in event.get("attendees", [])],
                "alarms": [alarm["after"] for alarm in event.get("alarms", [])],
            }.items():  # fmt: skip
                check(found[field] == wanted, f"{event['title']}: {field} is {found[field]!r}, not {wanted!r}")
            for rule, wanted in zip(found["rules"], event.get("rules", []), strict=True):
                parts = dict(part.split("=") for part in rule.split(";"))
                check(parts["FREQ"].lower() == wanted["frequency"], rule)
                check(int(parts.get("INTERVAL", 1)) == wanted["interval"], rule)
                check(int(parts.get("COUNT", 0)) == wanted.get("count", 0), rule)
                check(parts.get("BYDAY", "") == ",".join(wanted.get("days", [])), rule)
                until = wanted.get("until", "").replace("-", "").replace(":", "")
                check(parts.get("UNTIL", "") == until, rule)
        read = json_lines(run(python, HERE / "read_content.py", "events", folder / "reminders" / "reminders.ics"))
        reminders = records(folder, "reminders")
        check(len(read) == len(reminders) > 5, f"{len(read)} reminders, {len(reminders)} of ours")
        for found, reminder in zip(read, reminders):
            due = reminder.get("due")
            for field, wanted in {
                "uid": reminder["uid"], "title": reminder["title"], "notes": line_breaks(reminder.get("notes")) or None,
                "calendar": reminder["list"], "completed": reminder.get("completed_at"),
                "status": "COMPLETED" if reminder["completed"] else "NEEDS-ACTION",
                "priority": str(reminder["priority"]) if "priority" in reminder else None,
            }.items():  # fmt: skip
                check(found[field] == wanted, f"{reminder['title']}: {field} is {found[field]!r}, not {wanted!r}")
            check(due in (None, found["due"], found["start"]), f"{reminder['title']}: {found['due']} is not {due}")
        titles = json_lines(run(python, HERE / "read_content.py", "todos", folder / "reminders" / "reminders.ics"))
        check([one["title"] for one in titles] == [one["title"] for one in reminders], f"vobject reads {titles}")

    def notes_agree(ios):
        backup, folder, _, _ = exported(ios, "notes")
        run(ours, "export", "notes", backup, "--to", folder / "notes", "--format", "jsonl", also_ok=[3])
        notes = {note["guid"]: note for note in json_lines((folder / "notes" / "notes.jsonl").read_text())}
        name = hashlib.sha1(b"AppDomainGroup-group.com.apple.notes-NoteStore.sqlite").hexdigest()
        # It writes beside the database.
        shutil.copy(backup / name[:2] / name, folder / "NoteStore.sqlite")
        judge = CONTENT_VENV / "bin" / "apple-notes-parser"
        run(judge, "--database", folder / "NoteStore.sqlite", "export", folder / "judge.json")
        compared = 0
        for theirs in json.loads((folder / "judge.json").read_text())["notes"]:
            note = notes[theirs["uuid"]]
            check(theirs["is_password_protected"] == note.get("locked", False), f"{note['title']}: locked")
            check(theirs["folder_path"] == "/".join(note["folders"]), f"{note['title']}: {theirs['folder_path']}")
            if "locked" in note or "undecodable" in note:
                continue
            # It leaves out the texts of tags and mentions.
            inline = [p["attachment"].get("text", "") for line in note["paragraphs"] for p in line["pieces"] if "attachment" in p]
            text = note["text"]
            for shown in inline:
                text = text.replace(shown, "", 1)
            check(theirs["content"].replace("\ufffc", "") == text, f"{note['title']}: {theirs['content']!r} is {text!r}")
            check(theirs["is_pinned"] == note.get("pinned", False), f"{note['title']}: pinned")
            compared += 1
        check(compared > 8, f"only {compared} notes")

    def whatsapp_agrees():
        backup, folder, _, _ = exported("18.6.2", "whatsapp")
        run(ours, "export", "whatsapp", backup, "--to", folder / "whatsapp", "--format", "jsonl", also_ok=[3])
        messages = json_lines((folder / "whatsapp" / "messages.jsonl").read_text())
        place = folder / "judge"
        place.mkdir()
        # It needs a column that ours does not have, and one table without columns that another one has.
        copy = folder / "copy"
        shutil.copytree(backup, copy)
        name = hashlib.sha1(b"AppDomainGroup-group.net.whatsapp.WhatsApp.shared-ChatStorage.sqlite").hexdigest()
        changes = ["ALTER TABLE ZWAMESSAGE ADD COLUMN ZSENTDATE TIMESTAMP"]
        changes += [f"ALTER TABLE ZWAVCARDMENTION DROP COLUMN {column}" for column in ("ZVCARDNAME", "ZVCARDSTRING")]
        run("sqlite3", copy / name[:2] / name, "; ".join(changes))
        judge = CONTENT_VENV / "bin" / "wtsexporter"
        run(judge, "-i", "-b", copy, "-o", "out", "-j", "wa.json", "--no-html", "--no-banner", cwd=place)
        theirs = {}
        for chat in json.loads((place / "wa.json").read_text()).values():
            theirs.update({message["key_id"]: message for message in chat["messages"].values()})
        compared = 0
        for message in messages:
            # It cuts identifiers to 17 characters.
            other = theirs[message["guid"][:17]]
            check(bool(other["from_me"]) == message["from_me"], f"{message['guid']}: from_me")
            reply = message.get("reply_to", {}).get("guid", "")[:17]
            check((other["reply"] or "") == reply, f"{message['guid']}: {other['reply']}")
            if other["meta"] or other["media"]:
                caption = other["caption"]
                check(caption is None or caption in json.dumps(message, ensure_ascii=False), f"{message['guid']}: {caption}")
                continue
            text = message.get("text", "").replace("\n", "<br>")
            check((other["data"] or "") == text, f"{message['guid']}: {other['data']!r} is {text!r}")
            compared += 1
        check(compared > 10 and len(messages) == len(theirs), f"{compared} of {len(messages)}, {len(theirs)}")

    def imessage_exporter_agrees(ios):
        backup, folder, messages, _ = exported(ios, "imessage-exporter")
        copy, texts = folder / "copy", folder / "texts"
        shutil.copytree(backup, copy)
        # It stops at a time that is a word.
        database = copy / "3d" / "3d0d7e5fb2ce288813306e4d4636395e047a3d28"
        run("sqlite3", database, "UPDATE message SET date = 0 WHERE typeof(date) = 'text'")
        run("env", "TZ=UTC", IMESSAGE_EXPORTER, "-f", "txt", "-c", "disabled", "-a", "iOS", "-p", copy, "-o", texts)
        # A message begins with its time and its sender; indented ones are repeated below what they answer.
        blocks = {}
        for file in texts.glob("*.txt"):
            for block in re.split(r"^(?=\w{3} \d\d, \d{4} [ 1]\d:\d\d:\d\d [AP]M)", file.read_text(), flags=re.M):
                blocks.setdefault(block[:24], []).append(block.split("\n"))
        compared = 0
        for message in messages:
            text = message.get("text")
            # It shows earlier versions in the place of the text, and for messages of apps what it cannot decode.
            if not text or "time" not in message or any(field in message for field in ("event", "edits", "app", "reaction_to")):
                continue
            time = datetime.fromisoformat(message["time"][:19])
            if not 2007 <= time.year <= 2100:
                continue
            start = f"{time:%b %d, %Y} {int(time.strftime('%I')):2}:{time:%M:%S %p}"
            sender = "Me" if message["from_me"] else message.get("sender", {}).get("address")
            lines = text.replace("\u2028", "\n").splitlines()
            agrees = any(
                block[1:2] == [sender] and all(line in "\n".join(block[2:]).replace("\u2028", "\n").splitlines() for line in lines)
                for block in blocks.get(start, [])
            )
            check(agrees, f"{message['guid']}: {start} {sender} {text[:80]!r} is {blocks.get(start)}")
            compared += 1
        check(compared > 100, f"only {compared} messages")

    if IMESSAGE_EXPORTER.exists():
        report.scene("imessage-exporter reads the messages of iOS 18 as we do", lambda: imessage_exporter_agrees("18.6.2"))
        report.scene("imessage-exporter reads the messages of iOS 26 as we do", lambda: imessage_exporter_agrees("26.1"))
    report.scene("apple-notes-parser reads the notes of iOS 18 as we do", lambda: notes_agree("18.6.2"))
    report.scene("apple-notes-parser reads the notes of iOS 26 as we do", lambda: notes_agree("26.1"))
    report.scene("WhatsApp-Chat-Exporter reads the chats that we export", whatsapp_agrees)
    report.scene("pytypedstream decodes the bodies of iOS 18 as we do", lambda: bodies_agree("18.6.2"))
    report.scene("pytypedstream decodes the bodies of iOS 12 as we do", lambda: bodies_agree("12.5.7"))
    report.scene("mvt reads the messages and contacts that we export", mvt_agrees)
    report.scene("vobject reads our cards", cards_agree)
    report.scene("mvt reads the calls, the history and the events that we export", mvt_agrees_on_lists)
    report.scene("icalendar and vobject read our events and reminders", icalendar_agrees)


def replays(report, ours, stage):
    """Plays recorded scenes to the recorded programs, which must do the same again."""

    def played(scene, client, but=()):
        folder = stage / scene
        (folder / "backups").mkdir(parents=True)
        with Replayed(ours, folder, scene) as phone:
            client(folder / "backups")
            said = phone.said()
        departures = [line for line in said if line.startswith("departs: ") and not line.endswith(tuple(but))]
        check(said and not departures, "\n    ".join(departures or ["the replay said nothing"]))

    def idevicebackup2(folder):
        said = run("idevicebackup2", "backup", folder)
        check("Backup Successful" in said, said[-600:])

    def pymobiledevice3(folder):
        os.environ["USBMUXD_SOCKET_ADDRESS"] = os.environ["USBMUXD_SOCKET_ADDRESS"].removeprefix("UNIX:")
        run(VENV / "bin" / "pymobiledevice3", "--no-color", "backup2", "backup", folder)

    report.scene("idevicebackup2 is played its own backup", lambda: played("18.6.2-full-backup.idevicebackup2", idevicebackup2))
    # It creates a missing Status.plist with the current date.
    report.scene(
        "pymobiledevice3 is played its own backup",
        lambda: played("18.6.2-full-backup.pymobiledevice3", pymobiledevice3, ["Status.plist has other contents"]),
    )


def on_a_fresh_phone(report, ours, folder, act):
    """Runs `act` with a new phone of the same content, so all first backups must be equal."""
    backups = folder / "backups"
    backups.mkdir(parents=True)
    try:
        with Phone(ours, folder):
            return act(report, ours, backups)
    except Failed as why:
        report.scene(f"a simulated phone for {folder.name}", lambda: check(False, why))
        return None


def install_judges(content=True):
    """Installs the judges written in Python; those of the contents of a backup only if wanted."""
    WORK.mkdir(parents=True, exist_ok=True)
    venvs = [(VENV, "requirements.txt")]
    if content:
        venvs.append((CONTENT_VENV, "requirements-content.txt"))
    for venv, requirements in venvs:
        if not venv.is_dir():
            print(f"installing the Python judges into {venv}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", "-r", HERE / requirements], check=True)


def build_imessage_exporter():
    """Builds imessage-exporter, which is only run: its licence is the GPL."""
    if IMESSAGE_EXPORTER.exists():
        return
    root = IMESSAGE_EXPORTER.parents[1]
    command = ["cargo", "install", "imessage-exporter", "--version", IMESSAGE_EXPORTER_VERSION, "--locked", "--root", root]
    subprocess.run([*command, "--target-dir", root / "target"], check=True)
    shutil.rmtree(root / "target")


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--all"]):
        sys.exit(__doc__)
    ours = Path(sys.argv[1]).resolve(strict=True)
    install_judges()
    if "--all" in sys.argv:
        build_imessage_exporter()

    stage = WORK / "stage"  # Kept until the next run, for inspection.
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "home").mkdir(parents=True)
    os.environ["HOME"] = str(stage / "home")  # Ignore pair records and settings of earlier runs.
    for name in [name for name in os.environ if name.startswith(("XDG_", "IDEV_BACKUP_"))]:
        del os.environ[name]

    report = Report()
    reference = on_a_fresh_phone(report, ours, stage / "idevicebackup2", libimobiledevice)
    on_a_fresh_phone(report, ours, stage / "pymobiledevice3", partial(pymobiledevice3, reference=reference))
    on_a_fresh_phone(report, ours, stage / "ours", partial(our_backups, reference=reference))
    for name, act in (
        ("idevicebackup2-encrypts", idevicebackup2_encrypts),
        ("pymobiledevice3-encrypts", pymobiledevice3_encrypts),
        ("ours-encrypted", our_encrypted_backups),
    ):
        on_a_fresh_phone(report, ours, stage / name, partial(act, reference=reference))
    our_exports(report, ours, stage)
    replays(report, ours, stage)
    report.scene("demo", lambda: check(run(ours, "demo").strip(), "prints nothing"))

    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
