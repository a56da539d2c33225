#!/usr/bin/env python3
"""What a backup costs, beside other programs, against one simulated phone on one machine in one run.

    python3 tests/bench/measure.py target/release/idev-backup [large] [small] [memory] [unchanged] [extract]

Needs Linux and libimobiledevice-utils; pymobiledevice3 is measured where tests/peers/run.py has installed it, and openssl
where it is there. `--on DIR` chooses the disk (`/dev/shm` without it: the programs are compared, not the disk), `--runs N`
how often each is run; the median counts. Prints Markdown. Times are of this machine, so only their ratios say anything.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYMOBILEDEVICE3 = ROOT / "target" / "peers" / "venv" / "bin" / "pymobiledevice3"
GIB = 1 << 30


class Cost:
    """Seconds, processor seconds and peak memory of a program that ended well."""

    def __init__(self, *command, **options):
        begun = time.monotonic()
        command = [str(word) for word in command]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, **options)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            if process.returncode != 0:
                words = said.read().decode(errors="replace")[-2000:]
                sys.exit(f"`{' '.join(command)}` ended with {process.returncode}\n{words}")
        self.seconds = time.monotonic() - begun
        self.cpu = usage.ru_utime + usage.ru_stime
        self.memory = usage.ru_maxrss << 10


class Bench:
    """A simulated phone, a folder, and the program."""

    def __init__(self, ours, on, *flags):
        self.ours = ours
        self.folder = Path(tempfile.mkdtemp(prefix="measure-", dir=on))
        address = f"UNIX:{self.folder}/phone.sock"
        self.phone = subprocess.Popen(
            [ours, "simulate", "--listen", address, "--seed", "3", *flags],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.phone.stdout.readline()
        home = self.folder / "home"
        home.mkdir()
        self.environment = {
            **os.environ,
            "USBMUXD_SOCKET_ADDRESS": address,
            "PYMOBILEDEVICE3_USBMUX": address.removeprefix("UNIX:"),
            "HOME": str(home),
        }
        self.cost("idevicepair", "pair")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.phone.terminate()
        self.phone.wait()
        shutil.rmtree(self.folder)

    def cost(self, *command):
        return Cost(*command, env=self.environment)

    def create(self, *flags):
        return self.cost(self.ours, "create", "--quiet", "--store", self.folder / "store", *flags)

    def report(self):
        newest = max((self.folder / "store").glob(".idev-backup/*/*/report.json"))
        return json.loads(newest.read_text())

    def clear(self, name):
        shutil.rmtree(self.folder / name, ignore_errors=True)
        os.sync()

    def full_backups(self, runs):
        """Each program in turn, so that whatever else the machine does meets all of them. Costs by program."""
        costs = {}
        programs = {
            "idev-backup": lambda: self.create("--full", "--keep", "0"),
            "idevicebackup2": lambda: self.cost("idevicebackup2", "backup", "--full", self.folder / "theirs"),
        }
        if PYMOBILEDEVICE3.exists():
            programs["pymobiledevice3"] = lambda: self.cost(
                PYMOBILEDEVICE3, "backup2", "backup", "--full", self.folder / "theirs"
            )
        for _ in range(runs):
            for name, backup in programs.items():
                (self.folder / "theirs").mkdir(exist_ok=True)
                costs.setdefault(name, []).append(backup())
                self.clear("theirs")
                if name == "idev-backup":
                    self.parts = self.report()["seconds"]
                    self.clear("store")
        return costs


def median(costs, what):
    return statistics.median(getattr(cost, what) for cost in costs)


def compare(title, bench, runs):
    """Prints and answers the programs' median seconds."""
    costs = bench.full_backups(runs)
    ours = median(costs["idev-backup"], "seconds")
    print(f"\n### {title}\n\n| | seconds (of each run) | times idev-backup | processor | memory |\n|---|---|---|---|---|")
    for name, each in costs.items():
        all_seconds = ", ".join(f"{cost.seconds:.2f}" for cost in each)
        seconds, cpu = median(each, "seconds"), median(each, "cpu")
        memory = max(cost.memory for cost in each) / (1 << 20)
        print(f"| {name} | {seconds:.2f} ({all_seconds}) | {seconds / ours:.2f} | {cpu:.2f} s | {memory:.0f} MiB |")
    print(f"\nParts of the last run: {parts(bench.parts)}")
    return costs


def parts(seconds):
    return ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())


def openssl_seconds_per_gib(*what):
    """What one core needs at best, in blocks of the size of a TLS record."""
    command = ["openssl", "speed", "-mr", "-seconds", "2", "-bytes", "16384", *what]
    for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        if line.startswith("+F:"):
            return GIB / float(line.split(":")[-1])
    sys.exit(f"`{' '.join(command)}` measured nothing")


def large(ours, on, runs):
    with Bench(ours, on, "--files", "0", "--bulk", "40x100M") as bench:
        costs = compare("4 GiB in 40 files", bench, runs)
        gib = 40 * (100 << 20) / GIB
        mine = median(costs["idev-backup"], "cpu") / gib
        zeros = ("dd", "if=/dev/zero", f"of={bench.folder}/zero", "bs=256K", f"count={40 * 400}")
        writing = statistics.median(Cost(*zeros).cpu / gib for _ in range(3))
        print(f"\nProcessor seconds per GiB: idev-backup {mine:.2f}; alone: writing {writing:.2f}", end="")
        if shutil.which("openssl"):
            hashing = openssl_seconds_per_gib("-evp", "sha256")
            decrypting = openssl_seconds_per_gib("-decrypt", "-evp", "aes-256-gcm")
            alone = writing + hashing + decrypting
            print(f", hashing {hashing:.2f}, decrypting {decrypting:.2f}, together {alone:.2f}: {mine / alone:.2f} times.")
        else:
            print(" (no openssl: hashing and decrypting were not measured).")


def small(ours, on, runs):
    with Bench(ours, on, "--files", "50000", "--file-size", "2K..20K", "--bulk", "0x0") as bench:
        compare("50,000 files of 2-20 KiB", bench, runs)


def memory(ours, on, _runs):
    print("\n### Peak memory\n\n| | peak |\n|---|---|")
    for what, flags in {
        "1,000,000 files of at most 100 bytes": ("--files", "1000000", "--file-size", "1..100", "--bulk", "0x0"),
        "one file of 64 MiB": ("--files", "0", "--bulk", "1x64M"),
        "one file of 6 GiB": ("--files", "0", "--bulk", "1x6G"),
    }.items():
        with Bench(ours, on, *flags) as bench:
            print(f"| {what} | {bench.create('--full').memory / (1 << 20):.1f} MiB |", flush=True)
            if "1,000,000" in what:
                print(f"| the same again, nothing changed | {bench.create().memory / (1 << 20):.1f} MiB |", flush=True)


def unchanged(ours, on, runs):
    flags = ("--files", "500000", "--file-size", "1..100", "--bulk", "0x0", "--changes", "0")
    with Bench(ours, on, *flags) as bench:
        bench.create("--full")
        print("\n### 500,000 files, nothing changed\n\n| seconds | the host's own | parts |\n|---|---|---|")
        for _ in range(runs):
            cost = bench.create("--keep", "1")
            seconds = bench.report()["seconds"]
            phones = seconds["scan"] + seconds["receive"] + seconds["finish"] + seconds["describe"]
            print(f"| {cost.seconds:.2f} | {cost.seconds - phones:.2f} | {parts(seconds)} |", flush=True)


OPENSSL = "openssl enc -d -aes-256-cbc -nopad -iv 00000000000000000000000000000000"
DECRYPT = """
from iphone_backup_decrypt import EncryptedBackup
backup = EncryptedBackup(backup_directory="{backup}", passphrase="password")
backup.extract_files(relative_paths_like="%", output_folder="{to}", preserve_folders=True)
"""


def extract(ours, on, runs):
    extract_of(ours, on, runs, 1500, 1 << 20)
    extract_of(ours, on, runs, 20_000, 32 << 10)


def extract_of(ours, on, runs, files, size):
    """An encrypted backup, beside openssl on as many cores over the same bytes, and beside iphone-backup-decrypt."""
    python = PYMOBILEDEVICE3.with_name("python")
    if not python.exists():
        sys.exit(f"{python} is not there: tests/peers/run.py makes it; it needs cryptography and iphone_backup_decrypt")
    folder = Path(tempfile.mkdtemp(prefix="measure-", dir=on))
    try:
        backup, to = folder / "backup", folder / "to"
        made = [python, ROOT / "tests/bench/encrypted.py", backup, str(files), str(size)]
        keys = subprocess.run(list(map(str, made)), check=True, capture_output=True, text=True).stdout
        (folder / "password").write_text("password\n")
        cores = os.cpu_count()
        # Each file by a process of its own, and all of them as one file per core: what starting processes costs is no decryption.
        (folder / "files").write_text("".join(f"{p} {key} {name}\n" for p, key, name in map(str.split, keys.splitlines())))
        paths = [line.split()[0] for line in keys.splitlines()]
        for core in range(cores):
            with open(folder / f"part{core}", "wb") as part:
                for path in paths[core::cores]:
                    part.write((backup / path).read_bytes())
        each = f"cd {backup}; xargs -P{cores} -L1 sh -c 'exec {OPENSSL} -K $1 -in $0 -out {to}/$2' < {folder}/files"
        parts = " & ".join(f"{OPENSSL} -K {'11' * 32} -in {folder}/part{c} -out {to}/{c}" for c in range(cores))
        programs = {
            "idev-backup": [ours, "extract", backup, "--to", to, "--password-file", folder / "password", "--quiet"],
            "openssl, one file per core": ["sh", "-c", f"{parts} & wait"],
            "iphone-backup-decrypt": [python, "-c", DECRYPT.format(backup=backup, to=to)],
        }
        if files < 5000:
            programs["openssl, a process per file"] = ["sh", "-c", each]
        costs = {}
        for _ in range(runs):
            for name, command in programs.items():
                if name != "idev-backup":
                    to.mkdir()
                costs.setdefault(name, []).append(Cost(*command))
                shutil.rmtree(to)
                os.sync()
        mine = median(costs["idev-backup"], "seconds")
        print(f"\n### {files:,} encrypted files of {size >> 10} KiB, extracted on {cores} cores\n")
        print("| | seconds (of each run) | times idev-backup | processor | memory |\n|---|---|---|---|---|")
        for name, each in costs.items():
            seconds, cpu = median(each, "seconds"), median(each, "cpu")
            memory = max(cost.memory for cost in each) / (1 << 20)
            runs_ = ", ".join(f"{cost.seconds:.2f}" for cost in each)
            print(f"| {name} | {seconds:.2f} ({runs_}) | {seconds / mine:.2f} | {cpu:.2f} s | {memory:.0f} MiB |")
    finally:
        shutil.rmtree(folder)


def main():
    benches = {"large": large, "small": small, "memory": memory, "unchanged": unchanged, "extract": extract}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path, help="the program")
    parser.add_argument("what", nargs="*", help=f"which of {', '.join(benches)}; all if none is named")
    parser.add_argument("--on", type=Path, default=Path("/dev/shm"), help="the disk")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for name in options.what or benches:
        benches[name](options.ours.resolve(), options.on, options.runs)


if __name__ == "__main__":
    main()
