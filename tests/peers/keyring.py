#!/usr/bin/env python3
"""Judges backup passwords in the system's credential store with GNOME Keyring, which stores them,
and libsecret's secret-tool, which reads them.

    python3 tests/peers/keyring.py target/release/idev-backup

The program must be built with the feature `keyring`. Needs dbus, gnome-keyring and libsecret-tools.
The script starts its own bus and its own keyring.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from run import WORK, Phone, Report, check, run

PASSWORD, OTHER = "the right one: ä'\"$", "another one"
ON_OUR_BUS = "IDEV_BACKUP_JUDGE_ON_ITS_OWN_BUS"


def secret_tool(*words, password=None):
    """Returns what secret-tool prints, or None if it does not find the password."""
    done = subprocess.run(["secret-tool", *words], input=password, capture_output=True, text=True, timeout=60, check=False)
    check(done.returncode == 0 or not done.stderr, done.stderr)
    return done.stdout if done.returncode == 0 else None


def refused(words, *command, **environment):
    """Checks that a command ends with exit code 6, an error with these words, and a hint."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          env={**os.environ, **environment}, check=False)  # fmt: skip
    check(done.returncode == 6, f"the command ended with {done.returncode}: {done.stderr}")
    check(words in done.stderr and "hint: " in done.stderr, done.stderr)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if ON_OUR_BUS not in os.environ:
        os.environ[ON_OUR_BUS] = "1"
        os.execvp("dbus-run-session", ["dbus-run-session", "--", sys.executable, *sys.argv])
    ours = Path(sys.argv[1]).resolve(strict=True)
    stage = WORK / "keyring"
    shutil.rmtree(stage, ignore_errors=True)
    for folder in ("home", "run"):
        (stage / folder).mkdir(parents=True, mode=0o700)
    for name in [name for name in os.environ if name.startswith(("XDG_", "IDEV_BACKUP_"))]:
        del os.environ[name]
    os.environ.update(HOME=str(stage / "home"), XDG_RUNTIME_DIR=str(stage / "run"), IDEV_BACKUP_STORE=str(stage / "store"))
    right = stage / "right"
    right.write_text(PASSWORD + "\n")
    subprocess.run(["gnome-keyring-daemon", "--unlock", "--components=secrets"], input=b"login", check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)  # fmt: skip
    report = Report()

    def remembers():
        run(ours, "encryption", "remember", "--password-file", right)
        kept = secret_tool("lookup", "service", "idev-backup", "username", "backup")
        check(kept == PASSWORD, f"secret-tool reads {kept!r}")

    def backs_up():
        with Phone(ours, stage):
            run(ours, "encryption", "on", "--password-keyring")
            run(ours, "create", "--new-store", "--password-keyring")
        run(ours, "encryption", "check", "latest", "--password-keyring=backup")
        run(ours, "verify", "latest", "--deep", "--password-keyring")
        run(ours, "encryption", "check", "latest", "--password-file", right)

    def takes_what_others_stored():
        attributes = ("service", "idev-backup", "username", "family's")
        secret_tool("store", "--label", "ours", *attributes, password=OTHER)
        refused("does not open", ours, "encryption", "check", "latest", "--password-keyring=family's")
        secret_tool("store", "--label", "ours", *attributes, password=PASSWORD)
        run(ours, "encryption", "check", "latest", "--password-keyring=family's")

    def forgets():
        check("was removed" in run(ours, "encryption", "forget"), "`forget` does not say that the password is gone")
        kept = secret_tool("lookup", "service", "idev-backup", "username", "backup")
        check(kept is None, f"secret-tool still reads {kept!r}")
        refused("encryption remember", ours, "encryption", "check", "latest", "--password-keyring")
        check("has no password" in run(ours, "encryption", "forget"), "`forget` does not say that there was no password")
        run(ours, "encryption", "check", "latest", "--password-keyring=family's")

    def without_a_bus():
        away = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere/at/all"}
        refused("credential store cannot be used", ours, "encryption", "check", "latest", "--password-keyring", **away)

    for name, act in (("secret-tool reads our password", remembers), ("a backup with the password from the keyring", backs_up),
                      ("we read secret-tool's password", takes_what_others_stored), ("a forgotten password is gone", forgets),
                      ("a missing bus is reported", without_a_bus)):  # fmt: skip
        report.scene(name, act)
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
