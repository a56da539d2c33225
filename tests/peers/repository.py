#!/usr/bin/env python3
"""Judges repositories: restic itself checks and restores what we pushed, on real servers.

    python3 tests/peers/repository.py target/release/idev-backup [--all]

Servers on the loopback network: `rclone serve restic --append-only`, sshd, and moto as S3. Pushes
are killed at 20 random moments, with `--all` at 100; two run at once, and one beside `restic prune`.
Needs restic, rclone, openssh-server and python3-venv. moto (requirements-repository.txt) is
installed below target/peers. IDEV_BACKUP_TEST_SEED selects the moments.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from run import HERE, WORK, Phone, Report, check, run

VENV = WORK / "venv-repository"
UDID = "00008130-001A2B3C4D5E6F70"
PASSWORD = "of the repository"


class Server:
    """A server in a process group of its own, which is ready once its port answers."""

    def __init__(self, port, *command, log):
        self.port, self.command, self.log = port, [str(word) for word in command], log

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            check(self.process.poll() is None, f"{self.command[0]} ended: {self.log.read_text()[-500:]}")
            with socket.socket() as wire:
                if wire.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.1)
        raise TimeoutError(f"{self.command[0]} does not answer")

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=20)


def free_port():
    with socket.socket() as wire:
        wire.bind(("127.0.0.1", 0))
        return wire.getsockname()[1]


class Judge:
    def __init__(self, ours, stage):
        self.ours, self.stage, self.store = ours, stage, stage / "store"
        self.password = stage / "password"
        self.password.write_text(PASSWORD + "\n")

    def use(self, place, *options):
        """Selects the repository for what follows; `options` are restic's own."""
        self.place, self.options = str(place), options
        os.environ.update(RESTIC_REPOSITORY=self.place, RESTIC_PASSWORD_FILE=str(self.password))
        os.environ.update(IDEV_BACKUP_REPOSITORY_LOCATION=self.place, IDEV_BACKUP_REPOSITORY_PASSWORD_FILE=str(self.password))

    def command(self, *words):
        extra = [word for option in self.options for word in ("--restic-option", option)]
        return [str(word) for word in (self.ours, "repository", *words, *extra)]

    def repository(self, *words, also_ok=()):
        return run(*self.command(*words), also_ok=also_ok)

    def restic(self, *words):
        return run("restic", *[word for option in self.options for word in ("-o", option)], *words)

    def stored(self):
        """Returns restic's snapshots by the id of our backup."""
        all_of_them = json.loads(self.restic("-q", "snapshots", "--json"))
        ids = lambda s: [tag[3:] for tag in s["tags"] or [] if tag.startswith("id:")]  # noqa: E731
        return {ids(snapshot)[0]: snapshot["id"] for snapshot in all_of_them if ids(snapshot)}

    def backups(self):
        """Returns the folders of our backups and of our records, by the id in the record."""
        records = (self.store / ".idev-backup" / UDID).glob("*/snapshot.json")
        found = {}
        for record in records:
            stamp = record.parent.name
            archived = self.store / f"{UDID}-{stamp}"
            folder = archived if archived.exists() else self.store / UDID
            found[json.loads(record.read_text())["id"]] = (folder, record.parent)
        return found

    def restores(self, only=None):
        """Checks that restic restores every backup and its record, byte for byte."""
        stored = self.stored()
        backups = self.backups()
        check(stored.keys() == backups.keys(), f"restic has {sorted(stored)}, the store {sorted(backups)}")
        for number, (name, (folder, record)) in enumerate(backups.items()):
            if only is not None and number >= only:
                break
            target = self.stage / "restored"
            shutil.rmtree(target, ignore_errors=True)
            self.restic("-q", "restore", stored[name], "--target", target)
            run("diff", "-r", record, target / ".idev-backup" / UDID / record.name)
            shutil.rmtree(target / ".idev-backup")
            run("diff", "-r", folder, target)
            shutil.rmtree(target)

    def is_clean(self):
        said = self.restic("check", "--read-data")
        check("no errors were found" in said, said)

    def a_round(self):
        """Makes a repository, pushes, and has restic check and restore it."""
        self.repository("init")
        self.repository("push")
        self.is_clean()
        self.restores(only=1)
        said = json.loads(self.repository("push", "--json").splitlines()[-1])
        check(said["present"] == len(self.backups()) and not said["pushed"], f"the second push did something: {said}")


def scenes(judge, report, kills):
    stage = judge.stage

    def folder():
        judge.use(stage / "folder")
        judge.repository("init")
        judge.repository("push")
        judge.is_clean()
        judge.restores()

    def plain():
        judge.use(stage / "plain")
        judge.restic("-q", "init")
        # The path is relative, so only its last part is stored.
        run("restic", "-q", "backup", "store", cwd=stage)
        (snapshot,) = json.loads(judge.restic("-q", "snapshots", "--json"))
        target = stage / "pulled"
        judge.repository("pull", snapshot["id"][:8], "--store", target, "--new-store")
        here = sorted(path.name for path in judge.store.iterdir() if path.name.startswith(UDID))
        there = sorted(path.name for path in target.iterdir() if path.name.startswith(UDID))
        check(here == there, f"{here} became {there}")
        for name in here:
            run("diff", "-r", judge.store / name, target / name)
        run(judge.ours, "verify", "--all", "--snapshots", "--store", target)

    def append_only():
        port = free_port()
        served = stage / "rest"
        served.mkdir()
        rclone = ["rclone", "serve", "restic", "--append-only", "--addr", f"127.0.0.1:{port}", served]
        with Server(port, *rclone, log=stage / "rclone.log"):
            judge.use(f"rest:http://127.0.0.1:{port}/r1")
            judge.a_round()
            said = judge.repository("forget", "--keep-last", "0", also_ok=(1,))
            check("removes none" in said, said)
            check(len(judge.stored()) == len(judge.backups()), "an append-only repository has lost snapshots")

    def sftp():
        port = free_port()
        keys = stage / "ssh"
        keys.mkdir(mode=0o700)
        for name in ("host", "login"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name)
        (keys / "authorized").write_text((keys / "login.pub").read_text())
        config = keys / "sshd_config"
        config.write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized\n"
            f"PidFile {keys}/pid\nStrictModes no\nUsePAM no\nSubsystem sftp internal-sftp\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        ssh = f"ssh -p {port} -i {keys}/login -o StrictHostKeyChecking=no -o UserKnownHostsFile={keys}/known 127.0.0.1 -s sftp"
        with Server(port, "/usr/sbin/sshd", "-D", "-e", "-f", config, log=stage / "sshd.log"):
            judge.use(f"sftp:127.0.0.1:{stage}/sftp", f"sftp.command={ssh}")
            judge.a_round()
        done = subprocess.run(judge.command("list", "--repository-retry", "0"), capture_output=True, text=True, timeout=200, check=False)
        check("connection failed" in done.stderr, f"sshd has ended, and we say {done.stderr}")

    def s3():
        port = free_port()
        os.environ.update(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret")
        with Server(port, VENV / "bin" / "moto_server", "-H", "127.0.0.1", "-p", port, log=stage / "moto.log"):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/bucket1", method="PUT")
            urllib.request.urlopen(request, timeout=20).close()
            judge.use(f"s3:http://127.0.0.1:{port}/bucket1/r1")
            judge.a_round()
            judge.use(f"s3:http://127.0.0.1:{port}/no-bucket/r1")
            done = subprocess.run(judge.command("list", "--repository-retry", "0"), capture_output=True, text=True, timeout=200, check=False)
            check(done.returncode == 1 and "no such bucket" in done.stderr, f"{done.returncode}: {done.stderr}")

    def killed():
        seed = int(os.environ.get("IDEV_BACKUP_TEST_SEED", "1"))
        print(f"IDEV_BACKUP_TEST_SEED={seed}", flush=True)
        dice = random.Random(seed)
        empty, place = stage / "empty", stage / "killed"
        judge.use(empty)
        judge.repository("init")
        judge.use(place)
        shutil.copytree(empty, place)
        completed = 0
        for number in range(kills):
            push = subprocess.Popen(judge.command("push", "--no-check"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)  # fmt: skip
            time.sleep(dice.uniform(0.05, 3.0))
            # One time our program dies and restic goes on alone, the other time restic dies.
            if number % 2:
                push.kill()
            else:
                children = subprocess.run(["pgrep", "-P", str(push.pid)], capture_output=True, text=True, check=False)
                for child in children.stdout.split():
                    subprocess.run(["kill", "-KILL", child], stderr=subprocess.DEVNULL, check=False)
            push.wait(timeout=120)
            if push.returncode == 0:
                completed += 1
                shutil.rmtree(place)
                shutil.copytree(empty, place)
            elif number % 5 == 4 or kills > 20:
                # A restic that lost its parent ends at its next line of progress.
                time.sleep(1)
                judge.repository("unlock")
                judge.restic("check", "--no-lock")
        time.sleep(1)
        judge.repository("unlock")
        judge.repository("push")
        judge.is_clean()
        judge.restores()
        print(f"    {kills} kills, {completed} of them after the end", flush=True)

    def together():
        judge.use(stage / "together")
        judge.repository("init")
        pushes = [
            subprocess.Popen(judge.command("push", "--host", f"computer{n}"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True) for n in range(2)
        ]  # fmt: skip
        for push in pushes:
            said, _ = push.communicate(timeout=200)
            check(push.returncode == 0, f"a push beside another one ended with {push.returncode}: {said}")
        judge.is_clean()
        judge.restores(only=1)

    def beside_prune():
        judge.use(stage / "pruned")
        judge.repository("init")
        push = subprocess.Popen(judge.command("push"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True)  # fmt: skip
        refused = pruned = 0
        while push.poll() is None:
            done = subprocess.run(["restic", "-q", "prune"], capture_output=True, text=True, check=False)
            pruned += done.returncode == 0
            refused += done.returncode != 0
            time.sleep(0.3)
        said = push.stdout.read()
        check(push.returncode == 0, f"the push ended with {push.returncode}: {said}")
        judge.is_clean()
        judge.restores(only=1)
        print(f"    {pruned} prunes, {refused} refused because of the push", flush=True)

    for name, act in (
        ("restic restores what we pushed", folder),
        ("we pull what restic pushed", plain),
        ("an append-only REST server", append_only),
        ("an SFTP server", sftp),
        ("an S3 server", s3),
        (f"{kills} kills of a push", killed),
        ("two pushes at once", together),
        ("restic prune beside a push", beside_prune),
    ):
        report.scene(name, act)


def main():
    words = [word for word in sys.argv[1:] if word != "--all"]
    if len(words) != 1:
        sys.exit(__doc__)
    ours = Path(words[0]).resolve(strict=True)
    stage = WORK / "repository"
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "home").mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith(("XDG_", "RESTIC_", "AWS_"))]:
        del os.environ[name]
    os.environ.update(HOME=str(stage / "home"), IDEV_BACKUP_STORE=str(stage / "store"))
    if not VENV.is_dir():
        print(f"installing moto into {VENV}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    subprocess.run([VENV / "bin" / "pip", "install", "-q", "-r", HERE / "requirements-repository.txt"], check=True)
    with Phone(ours, stage):
        run(ours, "create", "--new-store")
        for _ in range(2):
            run(ours, "create")
    report = Report()
    scenes(Judge(ours, stage), report, 100 if "--all" in sys.argv else 20)
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
