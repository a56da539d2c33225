#!/usr/bin/env python3
"""Records the scenes below into fixtures/traffic, with idev-backup, idevicebackup2 and
pymobiledevice3 as the phone's clients.

    python3 tests/peers/record.py target/release/idev-backup [SCENE...]

The phone is the simulated one. idev-backup writes its own trace; for the other clients the phone
writes it. Existing scenes are kept unless they are named. Needs what tests/peers/run.py needs, and
its virtual environment; scenes over Wi-Fi need what tests/peers/wifi.py needs.
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

# The phone's flags for each scene.
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
# For each scene: the action, the password given, and the new one. The phone's own password is
# "simulated".
PASSWORDS = {
    "18.6.2-encryption-on": ("on", "simulated", ""),
    "18.6.2-password-changed": ("change", "simulated", "another"),
    "18.6.2-password-wrong": ("change", "wrong", "another"),
}
CHANGES = "18.6.2-changes-only"  # Recorded together with 18.6.2-full-backup.
CLIENTS = ["", ".idevicebackup2", ".pymobiledevice3"]
OVER_WIFI = "18.6.2-wifi-full-backup"
# idevicebackup2 sends no heartbeat, without which phones close their services.
CLIENTS_OVER_WIFI = ["", ".pymobiledevice3"]


class Phone:
    """A simulated phone, which writes the file `trace`."""

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
        """Sends a request to the daemon, and returns its answer."""
        body = plistlib.dumps({"MessageType": message, "ProgName": "record.py", **fields})
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(str(self.path))
            wire.sendall(struct.pack("<IIII", len(body) + 16, 1, 8, 1) + body)
            answer = wire.makefile("rb")
            (length,) = struct.unpack("<I12x", answer.read(16))
            return plistlib.loads(answer.read(length - 16))


def call(phone, command, home, passwords=("", "")):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "IDEV_BACKUP_"))}
    # pymobiledevice3 would read "UNIX:" as the name of a host.
    address = str(phone.path) if "pymobiledevice3" in str(command[0]) else f"UNIX:{phone.path}"
    environment |= {"HOME": str(home), "USBMUXD_SOCKET_ADDRESS": address}
    # Our program refuses empty variables.
    names = zip(("IDEV_BACKUP_PASSWORD", "IDEV_BACKUP_NEW_PASSWORD"), passwords)
    environment |= {name: password for name, password in names if password}
    command = [str(word) for word in command]
    client = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said, _ = client.communicate(timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        # idevicebackup2 does not answer a request to purge, and waits forever.
        client.kill()
        said, _ = client.communicate()
    return client.returncode, said.decode(errors="replace")


def command(ours, client, scene, folder, trace):
    """Returns the command line of a client; pairing scenes have no backup."""
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
    """Returns the command line for a scene of PASSWORDS.

    Other clients accept passwords only as arguments; ours reads them from its environment.
    """
    wish, old, new = PASSWORDS[scene]
    if client == "":
        return [ours, "encryption", wish, "--quiet", "--store", folder, "--trace", trace, "--trace-metadata"]
    if client == ".idevicebackup2":
        return ["idevicebackup2", *(["encryption", "on", old] if wish == "on" else ["changepw", old, new]), folder]
    program = [PYMOBILEDEVICE3, "--no-color", "backup2"]
    return [*program, *(["encryption", "on", old] if wish == "on" else ["change-password", old, new])]


def pair_record(ours, home):
    """Returns a pair record that the next phone does not know, because another phone made it."""
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
        # idevicebackup2 does not pair before it sets or changes a password.
        if client == ".idevicebackup2" and scene in PASSWORDS:
            call(phone, ["idevicepair", "pair"], home)
        code, said = call(phone, command(ours, client, scene, folder, trace), home, PASSWORDS.get(scene, ("", "", ""))[1:])
        # idevicepair does not wait until the owner taps "Trust".
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


def record_over_wifi(ours, client, stage):
    """Records a first backup over Wi-Fi, in network namespaces."""
    # It needs root, which the other scenes do not.
    import wifi

    trace, folder = stage / "trace.jsonl", stage / "backups"
    folder.mkdir()
    os.environ["HOME"] = str(stage)
    # The interval is so long that the trace has one exchange, however slow the computer is.
    flags = ["--heartbeat", "60", *PHONE]
    with wifi.Lab() as lab:
        phone = wifi.WifiPhone(lab, ours, stage / "phone")
        options = ["--trace", trace, "--trace-metadata"] if client else []
        at = ["--wifi", f"{wifi.NETWORK}.2", "--advert", "mac"]
        phone.command = [*lab.on(lab.phone), ours, "simulate", *at, *flags, *options]
        with phone:
            udid, _ = wifi.pair_and_switch_on(lab)
            phone.unplug()
            if client:
                before = trace.read_text()
                with wifi.Heart(lab, udid):
                    wifi.pymobiledevice3(lab, "backup2", "backup", "--mobdev2", "--udid", udid, folder)
            else:
                before = ""
                program = wifi.Ours(lab, ours, folder)
                program.creates("--quiet", "--trace", trace, "--trace-metadata")
    keep(trace, OVER_WIFI + client, before)
    print(f"{OVER_WIFI}{client}: recorded", flush=True)


def keep(trace, name, but=""):
    """Copies a trace into the fixtures.

    If one trace has two scenes, `but` is the text of the first scene. The copy then has the first
    line, and everything after that text.
    """
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
    for client in CLIENTS_OVER_WIFI:
        name = OVER_WIFI + client
        if name in wanted or (not wanted and not (FIXTURES / name).exists()):
            with tempfile.TemporaryDirectory() as stage:
                record_over_wifi(ours, client, Path(stage))


if __name__ == "__main__":
    main()
