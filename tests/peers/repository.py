#!/usr/bin/env python3
"""Judges repositories: restic itself checks and restores what we pushed, on real servers.

    python3 tests/peers/repository.py target/release/idev-backup [SCENE...]

Servers on the loopback network: `rclone serve restic --append-only`, sshd, and moto as S3. At
random moments a push, a forget or a prune loses our program, restic or its connection:
IDEV_BACKUP_REPOSITORY_KILLS says how often (9), and IDEV_BACKUP_TEST_SEED selects the moments. Two
pushes run at once, and one beside `restic prune`. Needs restic, rclone, openssh-server and
python3-venv. moto (requirements-repository.txt) is installed below target/peers. A SCENE is a word
in the name of a scene.
"""

import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from run import HERE, WORK, Failed, Phone, Report, check, run

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


class Proxy:
    """Passes connections on to a port of this computer, until it is told to cut them."""

    def __init__(self, port, to):
        self.port, self.to = port, to
        self.is_open, self.wires = True, []

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.cut()

    def listen(self):
        while True:
            try:
                wire, _ = self.listener.accept()
            except OSError:
                return
            if not self.is_open:
                wire.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.to))
            self.wires += [wire, server]
            for one, other in ((wire, server), (server, wire)):
                threading.Thread(target=self.carry, args=(one, other), daemon=True).start()

    def carry(self, one, other):
        try:
            while block := one.recv(1 << 16):
                other.sendall(block)
        except OSError:
            pass  # It was cut.
        for wire in (one, other):
            wire.close()

    def cut(self):
        """Cuts all connections, and takes no further ones."""
        self.is_open = False
        for wire in self.wires:
            try:
                wire.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # It has ended.
        self.wires.clear()

    def accept(self):
        self.is_open = True


def timed(act):
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def children_of(pid):
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def kill(pid, how):
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass  # It has ended.


def wait_for_end(pids):
    deadline = time.monotonic() + 60
    while any(is_running(pid) for pid in pids):
        check(time.monotonic() < deadline, "a restic without a parent does not end")
        time.sleep(0.05)


def is_running(pid):
    try:
        # The orphans are ours: if no process took their status, restic would think that they run.
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return Path(f"/proc/{pid}").exists()


def adopt_orphans():
    """Makes this process the parent of processes whose parents have ended."""
    PR_SET_CHILD_SUBREAPER = 36
    check(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, "the kernel does not give us orphans")


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


def scenes(judge, report, kills, chosen):
    stage, servers, refused = judge.stage, contextlib.ExitStack(), []

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
        server = servers.enter_context(Server(port, *rclone, log=stage / "rclone.log"))
        judge.use(f"rest:http://127.0.0.1:{server.port}/r1")
        judge.a_round()
        # restic repeats each refused request for a minute. Other scenes go on meanwhile.
        refused.append((judge.place, subprocess.Popen(judge.command("forget", "--keep-last", "0"), stdin=subprocess.DEVNULL,
                                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)))  # fmt: skip

    def removes_nothing():
        ((place, forget),) = refused
        said, _ = forget.communicate(timeout=200)
        check(forget.returncode == 1 and "removes none" in said, f"{forget.returncode}: {said}")
        judge.use(place)
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
        adopt_orphans()
        empty, full, place = stage / "empty", stage / "full", stage / "killed"
        forget = ("forget", "--keep-last", "1")
        judge.use(empty)
        judge.repository("init")
        judge.use(full)
        shutil.copytree(empty, full)
        took = {"push": timed(lambda: judge.repository("push", "--no-check"))}
        backups = set(judge.stored())
        judge.use(place)
        shutil.copytree(full, place)
        took["forget"] = timed(lambda: judge.repository(*forget))
        prune = lambda: judge.repository("forget", "--keep-last", "100")  # noqa: E731
        took["prune"] = timed(prune)
        jobs = {"push": (empty, ("push", "--no-check")), "forget": (full, forget), "prune": (full, ("forget", "--keep-last", "100"))}
        counted = dict.fromkeys((f"{job} {way}" for job in jobs for way in ("program", "restic", "connection")), 0)
        done_before = 0
        port, public = free_port(), free_port()
        rclone = ["rclone", "serve", "restic", "--addr", f"127.0.0.1:{port}", stage]
        with Server(port, *rclone, log=stage / "rclone-killed.log"), Proxy(public, port) as proxy:
            for number in range(kills):
                job, way = list(counted)[number % len(counted)].split()
                base, words = jobs[job]
                shutil.rmtree(place)
                shutil.copytree(base, place)
                if job == "prune":
                    # Snapshots that restic alone has forgotten leave data that no snapshot uses.
                    oldest = sorted(judge.stored().values())[:2]
                    judge.restic("-q", "forget", *oldest)
                moment = dice.uniform(0, took[job] * 1.1)
                if way == "connection":
                    judge.use(f"rest:http://127.0.0.1:{public}/killed")
                    words += ("--repository-patience", "3s", "--repository-retry", "1")
                at_work = subprocess.Popen(judge.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                judge.use(place)
                time.sleep(moment)
                # It must not start another restic between the look and the kill.
                kill(at_work.pid, signal.SIGSTOP)
                children = children_of(at_work.pid)
                kill(at_work.pid, signal.SIGCONT if way != "program" else signal.SIGKILL)
                if way == "restic":
                    for child in children:
                        kill(child, signal.SIGKILL)
                elif way == "connection":
                    # A short outage, or one for the rest of the job.
                    proxy.cut()
                    if dice.random() < 0.5:
                        proxy.accept()
                at_work.wait(timeout=120)
                proxy.accept()
                # A restic that lost its parent goes on to its next line of progress, or to its end.
                wait_for_end(children)
                done_before += at_work.returncode == 0
                counted[f"{job} {way}"] += 1
                judge.repository("unlock")
                try:
                    judge.is_clean()
                    judge.repository("push", "--no-check")
                    check(backups <= set(judge.stored()), f"the next push left out {backups - set(judge.stored())}")
                except Failed as why:
                    raise Failed(f"{job}, {way}, after {moment:.2f} s, kill {number + 1}: {why}") from None
        judge.is_clean()
        print(f"    {counted}, {done_before} of them succeeded all the same", flush=True)

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
        (f"{kills} kills and lost connections", killed),
        ("two pushes at once", together),
        ("restic prune beside a push", beside_prune),
        ("an append-only server removes nothing", removes_nothing),
    ):
        if not chosen or any(word in name for word in chosen):
            report.scene(name, act)
    servers.close()


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    ours = Path(sys.argv[1]).resolve(strict=True)
    stage = WORK / "repository"
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "home").mkdir(parents=True)
    kills = int(os.environ.pop("IDEV_BACKUP_REPOSITORY_KILLS", "9"))
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
    scenes(Judge(ours, stage), report, kills, sys.argv[2:])
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
