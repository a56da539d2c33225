#!/usr/bin/env python3
"""Records fixtures/traffic: the scenes below, with idev-backup, idevicebackup2 and pymobiledevice3 as the phone's clients.

    python3 tests/peers/record.py target/release/idev-backup [SCENE...]

The phone is the simulated one. A trace of idev-backup is taken by itself, of the others by the phone. Scenes that exist are
left alone unless they are named. Needs what tests/peers/run.py needs, and its virtual environment.
"""

import plistlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parents[1] / "fixtures" / "traffic"
PYMOBILEDEVICE3 = HERE.parents[1] / "target" / "peers" / "venv" / "bin" / "pymobiledevice3"
UDID = "00008130-001A2B3C4D5E6F70"
PHONE = ["--files", "2", "--file-size", "10..50", "--bulk", "0x1", "--changes", "2"]
SECONDS_MAX = 40

# name: flags of the phone. A scene that begins with "2-" goes on with the folder and the phone of the one without.
SCENES = {
    "18.6.2-pair": ["--trust", "after:2"],
    "18.6.2-trust-refused": ["--trust", "deny"],
    "18.6.2-full-backup": [],
    "18.6.2-encrypted": ["--will-encrypt"],
    "18.6.2-encryption-on": [],
    "18.6.2-password-changed": ["--will-encrypt"],
    "18.6.2-password-wrong": ["--will-encrypt"],
    "18.6.2-passcode-entered": ["--passcode", "after:2"],
    "18.6.2-passcode-not-entered": ["--passcode", "never", "--passcode-limit", "2"],
    "18.6.2-no-space": ["--fault", "claim-size:900000000000000"],
    "18.6.2-device-file-error": ["--fault", "device-error:3"],
    "18.6.2-cable-cut": ["--fault", "cut-after:120000"],
    "18.6.2-trust-removed": [],
    "13.7-devicelink-300": ["--devicelink", "300", "--ios", "13.7"],
}
# scene: what is asked for, the password given and the next one. The phone's own is "simulated".
PASSWORDS = {
    "18.6.2-encryption-on": ("on", "simulated", ""),
    "18.6.2-password-changed": ("change", "simulated", "another"),
    "18.6.2-password-wrong": ("change", "wrong", "another"),
}
CHANGES = "18.6.2-changes-only"  # recorded together with 18.6.2-full-backup
CLIENTS = ["", ".idevicebackup2", ".pymobiledevice3"]


class Phone:
    """A simulated phone; `trace` is written by it."""

    def __init__(self, ours, flags, trace=None):
        options = ["--trace", trace, "--trace-metadata"] if trace else []
        self.folder = tempfile.TemporaryDirectory(prefix="phone-")
        self.path = Path(self.folder.name) / "sim.sock"
        self.process = subprocess.Popen(
            [ours, "simulate", *PHONE, *flags, *options, "--listen", f"UNIX:{self.path}"], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while not self.path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=10)
        self.folder.cleanup()

    def ask(self, message, **fields):
        """A question to the daemon."""
        body = plistlib.dumps({"MessageType": message, "ProgName": "record.py", **fields})
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(str(self.path))
            wire.sendall(struct.pack("<IIII", len(body) + 16, 1, 8, 1) + body)
            answer = wire.makefile("rb")
            (length,) = struct.unpack("<I12x", answer.read(16))
            return plistlib.loads(answer.read(length - 16))


def call(phone, command, home, passwords=("", "")):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "IDEV_BACKUP_"))}
    # pymobiledevice3 takes "UNIX:" for a host.
    address = str(phone.path) if "pymobiledevice3" in str(command[0]) else f"UNIX:{phone.path}"
    environment |= {"HOME": str(home), "USBMUXD_SOCKET_ADDRESS": address}
    environment |= {"IDEV_BACKUP_PASSWORD": passwords[0], "IDEV_BACKUP_NEW_PASSWORD": passwords[1]}
    command = [str(word) for word in command]
    client = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said, _ = client.communicate(timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:  # idevicebackup2 leaves a request to purge unanswered, and waits for ever
        client.kill()
        said, _ = client.communicate()
    return client.returncode, said.decode(errors="replace")


def command(ours, client, scene, folder, trace):
    """What a client is called with; pairing scenes have no backup."""
    if scene in PASSWORDS:
        return password_command(ours, client, scene, folder, trace)
    pairs = scene in ("18.6.2-pair", "18.6.2-trust-refused")
    if client == "":
        options = ["--trace", trace, "--trace-metadata"]
        return [ours, "pair", *options] if pairs else [ours, "create", "--new-store", "--quiet", "--store", folder, *options]
    if client == ".idevicebackup2":
        return ["idevicepair", "pair"] if pairs else ["idevicebackup2", "backup", folder]
    program = [PYMOBILEDEVICE3, "--no-color"]
    return [*program, "lockdown", "pair"] if pairs else [*program, "backup2", "backup", folder]


def password_command(ours, client, scene, folder, trace):
    """Others take passwords as arguments only; ours has them in its environment."""
    wish, old, new = PASSWORDS[scene]
    if client == "":
        return [ours, "encryption", wish, "--quiet", "--store", folder, "--trace", trace, "--trace-metadata"]
    if client == ".idevicebackup2":
        return ["idevicebackup2", *(["encryption", "on", old] if wish == "on" else ["changepw", old, new]), folder]
    program = [PYMOBILEDEVICE3, "--no-color", "backup2"]
    return [*program, *(["encryption", "on", old] if wish == "on" else ["change-password", old, new])]


def pair_record(ours, home):
    """The record of a pairing that the phone will have forgotten: made with a phone that is gone afterwards."""
    with Phone(ours, []) as phone:
        call(phone, [ours, "pair"], home)
        return phone.ask("ReadPairRecord", PairRecordID=UDID)["PairRecordData"]


def record(ours, scene, client, stage):
    flags = SCENES[scene]
    folder, home = stage / "backups", stage / "home"
    folder.mkdir(parents=True)
    home.mkdir()
    forgotten = pair_record(ours, home) if scene == "18.6.2-trust-removed" else None
    trace = stage / "trace.jsonl"
    with Phone(ours, flags, None if client == "" else trace) as phone:
        if forgotten:
            phone.ask("SavePairRecord", PairRecordID=UDID, PairRecordData=forgotten)
        if client == ".idevicebackup2" and scene in PASSWORDS:  # it does not pair by itself for this
            call(phone, ["idevicepair", "pair"], home)
        code, said = call(phone, command(ours, client, scene, folder, trace), home, PASSWORDS.get(scene, ("", "", ""))[1:])
        # idevicepair does not wait for the owner.
        while "Please accept the trust dialog" in said:
            time.sleep(1)
            code, said = call(phone, command(ours, client, scene, folder, trace), home)
        print(f"{scene}{client}: {code}: {said.strip()[-200:]!r}", flush=True)
        keep(trace, scene + client)
        if scene == "18.6.2-full-backup" and client == "":
            again = stage / "again.jsonl"
            code, said = call(phone, command(ours, client, scene, folder, again), home)
            print(f"{CHANGES}{client}: {code}: {said.strip()[-200:]!r}", flush=True)
            keep(again, CHANGES + client)
        elif scene == "18.6.2-full-backup":
            whole = trace.read_text()
            code, said = call(phone, command(ours, client, scene, folder, trace), home)
            print(f"{CHANGES}{client}: {code}: {said.strip()[-200:]!r}", flush=True)
            keep(trace, CHANGES + client, whole)


def keep(trace, name, but=""):
    """Copies a trace into the fixtures; without the lines `but` after its first, when one trace has two scenes."""
    text = trace.read_text()
    if but:
        first = text.splitlines(keepends=True)[0]
        text = first + text[len(but) :]
    target = FIXTURES / name
    target.mkdir(parents=True, exist_ok=True)
    (target / "trace.jsonl").write_text(text)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    ours = Path(sys.argv[1]).resolve(strict=True)
    wanted = sys.argv[2:]
    for scene in SCENES:
        for client in CLIENTS:
            name = scene + client
            if name in wanted or (not wanted and not (FIXTURES / name).exists()):
                with tempfile.TemporaryDirectory() as stage:
                    record(ours, scene, client, Path(stage))


if __name__ == "__main__":
    main()
