#!/usr/bin/env python3
"""Compares the cost of a backup with other programs: one simulated phone, one machine, one run.

    python3 tests/bench/measure.py target/release/idev-backup [large] [small] [memory] [unchanged]
                                   [verify] [reading] [extract] [restore] [history] [wifi]

Needs Linux and libimobiledevice-utils. Also measures pymobiledevice3 if tests/peers/run.py has
installed it, and openssl if it is installed; `reading` needs sqlite3 and no phone. `--on DIR`
selects the disk, and can be repeated; the default is both memory (`/dev/shm`) and the disk of this
checkout. `--runs N` is the number of runs of each program; the median counts. Prints Markdown.
Times depend on the machine, so only their ratios are meaningful.

On a disk, the folders of all runs stay until the end. ext4 does not reuse the inodes of files that
were removed in the last minute or so, and looks at each of them again for each new file: after
20,000 removed files, 20,000 new ones took three to five times as much processor time, for every
program. So a measurement begins only when no files have been removed for a while (`--rest`).
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import plistlib
import random
import shutil
import socket
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYMOBILEDEVICE3 = ROOT / "target" / "peers" / "venv" / "bin" / "pymobiledevice3"
GIB = 1 << 30


class Cost:
    """Seconds, processor seconds and peak memory of a program that succeeded."""

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
        self.ours, self.done = ours, 0
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
        return self.cost(self.ours, "create", "--new-store", "--quiet", "--store", self.folder / "store", *flags)

    def pair_record(self):
        """Returns the phone's UDID and its pair record, which the daemon keeps."""
        udid = subprocess.run(["idevice_id", "-l"], env=self.environment, capture_output=True, text=True, check=True).stdout.strip()
        request = plistlib.dumps({"MessageType": "ReadPairRecord", "PairRecordID": udid})
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(self.environment["PYMOBILEDEVICE3_USBMUX"])
            daemon.sendall(struct.pack("<IIII", 16 + len(request), 1, 8, 1) + request)
            with daemon.makefile("rb") as answer:
                length = struct.unpack("<IIII", answer.read(16))[0]
                return udid, plistlib.loads(answer.read(length - 16))["PairRecordData"]

    def report(self):
        newest = max((self.folder / "store").glob(".idev-backup/*/*/report.json"))
        return json.loads(newest.read_text())

    def settle(self):
        """Waits until the phone has restarted, which it does a moment after its verdict."""
        time.sleep(1)
        for _ in range(100):
            found = subprocess.run(["idevice_id", "-l"], env=self.environment, capture_output=True, text=True)
            if found.stdout.strip():
                return
            time.sleep(0.1)
        sys.exit("the phone does not come back after its restart")

    def clear(self, name):
        """Removes the folder of a run if it is in memory."""
        if file_system(self.folder)[0] == "tmpfs":
            shutil.rmtree(self.folder / name, ignore_errors=True)
        else:
            self.done += 1
            os.rename(self.folder / name, self.folder / f"done-{self.done}")
        os.sync()

    def full_backups(self, runs):
        """Returns the costs by program. Runs them in turn, so that other load affects them all."""
        costs = {}
        programs = {
            "idev-backup": lambda: self.create("--full", "--keep-last", "0"),
            "idevicebackup2": lambda: self.cost("idevicebackup2", "backup", "--full", self.folder / "theirs"),
        }
        if PYMOBILEDEVICE3.exists():
            programs["pymobiledevice3"] = lambda: self.cost(
                PYMOBILEDEVICE3, "backup2", "backup", "--full", self.folder / "theirs"
            )
        for _ in range(runs):
            for name, backup in programs.items():
                (self.folder / "theirs").mkdir(exist_ok=True)
                cost = backup()
                begun = time.monotonic()
                subprocess.run(["sync", "-f", self.folder], check=True)
                cost.flush = time.monotonic() - begun
                costs.setdefault(name, []).append(cost)
                self.clear("theirs")
                if name == "idev-backup":
                    self.parts = self.report()["seconds"]
                    self.clear("store")
        return costs


def file_system(folder):
    """Returns the type and the device of the file system that holds a folder."""
    mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()]
    held = [(device, Path(point), kind) for device, point, kind in mounts if Path(folder).resolve().is_relative_to(point)]
    device, _, kind = max(held, key=lambda mount: len(mount[1].parts))
    return kind, device


def median(costs, what):
    return statistics.median(getattr(cost, what) for cost in costs)


def compare(title, bench, runs):
    """Prints the programs' median costs, and returns the cost of every run."""
    costs = bench.full_backups(runs)
    ours = median(costs["idev-backup"], "seconds")
    print(f"\n### {title}\n\n| | seconds (of each run) | times idev-backup | then until on the disk | processor | memory |")
    print("|---|---|---|---|---|---|")
    for name, each in costs.items():
        all_seconds = ", ".join(f"{cost.seconds:.2f}" for cost in each)
        seconds, cpu, flush = median(each, "seconds"), median(each, "cpu"), median(each, "flush")
        memory = max(cost.memory for cost in each) / (1 << 20)
        print(f"| {name} | {seconds:.2f} ({all_seconds}) | {seconds / ours:.2f} | {flush:.2f} s | {cpu:.2f} s | {memory:.0f} MiB |")
    print(f"\nParts of the last run: {parts(bench.parts)}")
    return costs


def parts(seconds):
    return ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())


def openssl_seconds_per_gib(*what):
    """Returns the least time that one core needs, in blocks of the size of a TLS record."""
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
            cost = bench.create("--keep-last", "1000")
            seconds = bench.report()["seconds"]
            phones = seconds["scan"] + seconds["receive"] + seconds["finish"] + seconds["describe"]
            print(f"| {cost.seconds:.2f} | {cost.seconds - phones:.2f} | {parts(seconds)} |", flush=True)


def verify(ours, on, runs):
    """Measures checks of encrypted backups beside openssl.

    openssl reads the same bytes on as many cores, from one large file for each core.
    """
    with Bench(ours, on, "--files", "10000", "--bulk", "24x128M", "--will-encrypt") as bench:
        bench.create()
        (bench.folder / "password").write_text("simulated\n")
        backup = next(path for path in (bench.folder / "store").iterdir() if not path.name.startswith("."))
        alone = bench.folder / "alone"  # A copy without the list of hashes.
        shutil.copytree(backup, alone, copy_function=os.link)
        cores = os.cpu_count()
        parts = [bench.folder / f"part{core}" for core in range(cores)]
        for core, part in enumerate(parts):
            with open(part, "wb") as out:
                for path in sorted(alone.glob("??/*"))[core::cores]:
                    out.write(path.read_bytes())
        on_all = lambda command: ["sh", "-c", " & ".join(f"{command} {part}" for part in parts) + " & wait"]  # noqa: E731
        password = ["--password-file", bench.folder / "password"]
        programs = {
            "openssl dgst -sha256": on_all("openssl dgst -sha256"),
            "verify": [ours, "verify", "--quiet", backup],
            "openssl enc -d": on_all(f"{OPENSSL} -K {'11' * 32} -out /dev/null -in"),
            "verify --deep, no list of hashes": [ours, "verify", "--deep", "--quiet", *password, alone],
            "verify --deep": [ours, "verify", "--deep", "--quiet", *password, backup],
        }
        costs = {}
        for _ in range(runs):
            for name, command in programs.items():
                costs.setdefault(name, []).append(Cost(*command))
    beside = dict.fromkeys(costs, "openssl enc -d")
    beside |= dict.fromkeys(["openssl dgst -sha256", "verify"], "openssl dgst -sha256")
    table(f"3 GiB in 24 files and 10,000 small ones, checked on {cores} cores", costs, beside)
    verify_of(ours, on, runs, 1500, 1 << 20)
    verify_of(ours, on, runs, 20_000, 32 << 10)


SCHEMA = """
CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
CREATE INDEX FilesDomainIdx ON Files(domain);
CREATE INDEX FilesRelativePathIdx ON Files(relativePath);
CREATE INDEX FilesFlagsIdx ON Files(flags);
CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);
"""


def record(path, size, mode, modified, inode, chance):
    """Returns an archived MBFile as iOS writes it for a file with a digest and other attributes.

    It has no key: the reader takes files with keys for encrypted ones and asks for the password.
    """
    uid = plistlib.UID
    classes = {"$classname": "NSMutableData", "$classes": ["NSMutableData", "NSData", "NSObject"]}
    file = {
        "$class": uid(5), "LastModified": modified, "Flags": 0, "GroupID": 501, "UserID": 501, "LastStatusChange": modified,
        "RelativePath": uid(2), "Birth": modified - 60, "Size": size, "InodeNumber": inode, "Mode": mode,
        "ProtectionClass": 3, "Digest": uid(3), "ExtendedAttributes": uid(6),
    }  # fmt: skip
    objects = [
        "$null", file, path, {"NS.data": chance.randbytes(20), "$class": uid(4)}, classes,
        {"$classname": "MBFile", "$classes": ["MBFile", "NSObject"]}, chance.randbytes(500),
    ]  # fmt: skip
    archive = {"$version": 100000, "$archiver": "NSKeyedArchiver", "$top": {"root": uid(1)}, "$objects": objects}
    return plistlib.dumps(archive, fmt=plistlib.FMT_BINARY)


def list_of_files(files, chance):
    """Yields domain, path and flags of `files` files and their folders, in a phone's proportions."""
    apps = [f"AppDomain-com.example.app{n:03}" for n in range(200)]
    seen = set()
    while files > 0:
        dice = chance.random()
        number = chance.randrange(8_000_000)
        if dice < 0.25:
            domain, path = "CameraRollDomain", f"Media/DCIM/{100 + number // 1000 % 100}APPLE/IMG_{number:07}.HEIC"
        elif dice < 0.35:
            domain, path = "CameraRollDomain", f"Media/PhotoData/Thumbnails/V2/DCIM/{number // 1000}/{number}.JPG/5005.JPG"
        elif dice < 0.50:
            domain, path = "MediaDomain", f"Library/SMS/Attachments/{number % 256:02x}/{number:08x}/picture.jpeg"
        elif dice < 0.92:
            domain = apps[int(len(apps) * chance.random() ** 2)]
            path = f"Documents/store/{number % 97}/{number:08x}-{number * 7919:012x}.data"
        else:
            domain, path = "HomeDomain", f"Library/Caches/{number % 31}/{number:08x}.plist"
        folder = path
        files -= (domain, path) not in seen
        while (domain, folder) not in seen:
            seen.add((domain, folder))
            yield domain, folder, 1 if folder == path else 2
            folder = folder.rpartition("/")[0]


def backup_of(folder, files):
    """Makes a backup that has only lists; `info`, `usage`, `ls` and `find` read nothing else."""
    chance = random.Random(7)
    folder.mkdir()
    plain = {"IsEncrypted": False, "Version": "10.0", "Applications": {}}
    (folder / "Manifest.plist").write_bytes(plistlib.dumps(plain, fmt=plistlib.FMT_BINARY))
    (folder / "Status.plist").write_bytes(plistlib.dumps({"SnapshotState": "finished", "IsFullBackup": True}))
    (folder / "Info.plist").write_bytes(plistlib.dumps({"Device Name": "Million", "Product Type": "iPhone16,1"}))
    database = sqlite3.connect(folder / "Manifest.db")
    database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)

    def rows():
        for inode, (domain, path, flags) in enumerate(list_of_files(files, chance)):
            size = int(10 ** chance.uniform(1, 7)) if flags == 1 else 0
            mode = 0o100644 if flags == 1 else 0o040755
            blob = record(path, size, mode, 1_600_000_000 + inode * 100, inode, chance)
            yield hashlib.sha1(f"{domain}-{path}".encode()).hexdigest(), domain, path, flags, blob

    database.executemany("INSERT OR IGNORE INTO Files VALUES (?, ?, ?, ?, ?)", rows())
    database.commit()
    database.close()


PARSE_ALL = """
import plistlib, sqlite3, sys
for (blob,) in sqlite3.connect(sys.argv[1]).execute("SELECT file FROM Files"):
    plistlib.loads(blob)
"""


def reading(ours, on, runs):
    folder = Path(tempfile.mkdtemp(prefix="measure-", dir=on))
    try:
        backup = folder / "backup"
        # Use a separate process: the peak memory of this one would count for each of its children.
        maker = multiprocessing.Process(target=backup_of, args=(backup, 1_000_000))
        maker.start()
        maker.join()
        database = backup / "Manifest.db"
        size = database.stat().st_size / (1 << 20)
        print(f"\n### Reading a backup of 1,000,000 files (Manifest.db has {size:.0f} MiB)\n")
        print("| | seconds | of both | peak |\n|---|---|---|---|")
        dump = Cost("sh", "-c", 'sqlite3 "$0" "SELECT * FROM Files" > /dev/null', database)
        parse = Cost(sys.executable, "-c", PARSE_ALL, database)
        both = dump.seconds + parse.seconds
        for name, cost in {"sqlite3: the table to /dev/null": dump, "plistlib: each record": parse}.items():
            print(f"| {name} | {cost.seconds:.2f} | {cost.seconds / both:.3f} | {cost.memory / (1 << 20):.0f} MiB |", flush=True)
        camera = "CameraRollDomain"
        for words in (
            ["info"], ["usage"], ["ls"], ["ls", camera], ["ls", "-l", f"{camera}/Media/DCIM/150APPLE"],
            ["ls", "-lR", camera], ["find"], ["find", "*.HEIC", "--size", "+5M", "--newer", "2021-01-01"],
            ["find", "--json"], ["tree", "--depth", "3"], ["tree"],
        ):  # fmt: skip
            verb, *options = words
            costs = [Cost(ours, verb, backup, *options) for _ in range(runs)]
            seconds, memory = median(costs, "seconds"), max(cost.memory for cost in costs) / (1 << 20)
            print(f"| `{' '.join(words)}` | {seconds:.2f} | {seconds / both:.3f} | {memory:.0f} MiB |", flush=True)
    finally:
        shutil.rmtree(folder)


OPENSSL = "openssl enc -d -aes-256-cbc -nopad -iv 00000000000000000000000000000000"
DECRYPT = """
from iphone_backup_decrypt import EncryptedBackup
backup = EncryptedBackup(backup_directory="{backup}", passphrase="password")
backup.extract_files(relative_paths_like="%", output_folder="{to}", preserve_folders=True)
"""


def extract(ours, on, runs):
    extract_of(ours, on, runs, 1500, 1 << 20)
    extract_of(ours, on, runs, 20_000, 32 << 10)


class Encrypted:
    """An encrypted backup, and the same bytes as one file per core.

    One file per core leaves the cost of starting processes out of the measurement.
    """

    def __init__(self, on, files, size):
        self.python = PYMOBILEDEVICE3.with_name("python")
        if not self.python.exists():
            sys.exit(f"{self.python} does not exist: tests/peers/run.py makes it; it needs cryptography and iphone_backup_decrypt")
        self.folder = Path(tempfile.mkdtemp(prefix="measure-", dir=on))
        self.backup, self.to, self.cores = self.folder / "backup", self.folder / "to", os.cpu_count()
        made = [self.python, ROOT / "tests/bench/encrypted.py", self.backup, str(files), str(size)]
        keys = subprocess.run(list(map(str, made)), check=True, capture_output=True, text=True).stdout
        self.password = ["--password-file", self.folder / "password"]
        (self.folder / "password").write_text("password\n")
        (self.folder / "files").write_text("".join(f"{p} {key} {name}\n" for p, key, name in map(str.split, keys.splitlines())))
        paths = [line.split()[0] for line in keys.splitlines()]
        for core in range(self.cores):
            with open(self.folder / f"part{core}", "wb") as part:
                for path in paths[core :: self.cores]:
                    part.write((self.backup / path).read_bytes())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def openssl(self, out):
        """Returns the command that decrypts one file per core; `{core}` in `out` is its number."""
        one = lambda core: f"{OPENSSL} -K {'11' * 32} -in {self.folder}/part{core} -out {out.format(core=core)}"  # noqa: E731
        return ["sh", "-c", " & ".join(map(one, range(self.cores))) + " & wait"]

    def openssl_each(self):
        """Returns the command that decrypts each file in its own process."""
        each = f"exec {OPENSSL} -K $1 -in $0 -out {self.to}/$2"
        return ["sh", "-c", f"cd {self.backup}; xargs -P{self.cores} -L1 sh -c '{each}' < {self.folder}/files"]

    def iphone_backup_decrypt(self):
        return [self.python, "-c", DECRYPT.format(backup=self.backup, to=self.to)]

    def costs(self, programs, runs):
        """Returns the costs of programs that may fill the folder `to`.

        The program named "idev-backup" creates the folder.
        """
        costs = {}
        for _ in range(runs):
            for name, command in programs.items():
                if name != "idev-backup":
                    self.to.mkdir()
                costs.setdefault(name, []).append(Cost(*command))
                shutil.rmtree(self.to)
                os.sync()
        return costs


def table(title, costs, beside):
    """Prints a row for each program, with its seconds as a multiple of those of `beside[name]`."""
    print(f"\n### {title}\n\n| | seconds (of each run) | times | processor | memory |\n|---|---|---|---|---|")
    for name, each in costs.items():
        seconds, cpu = median(each, "seconds"), median(each, "cpu")
        memory = max(cost.memory for cost in each) / (1 << 20)
        runs = ", ".join(f"{cost.seconds:.2f}" for cost in each)
        times = f"{seconds / median(costs[beside[name]], 'seconds'):.2f} {beside[name]}"
        print(f"| {name} | {seconds:.2f} ({runs}) | {times} | {cpu:.2f} s | {memory:.0f} MiB |", flush=True)


def extract_of(ours, on, runs, files, size):
    """Measures the extraction of an encrypted backup, beside openssl and iphone-backup-decrypt.

    openssl decrypts the same bytes on as many cores.
    """
    with Encrypted(on, files, size) as made:
        programs = {
            "idev-backup": [ours, "extract", made.backup, "--to", made.to, *made.password, "--quiet"],
            "openssl, one file per core": made.openssl(f"{made.to}/{{core}}"),
            "iphone-backup-decrypt": made.iphone_backup_decrypt(),
        }
        if files < 5000:
            programs["openssl, a process per file"] = made.openssl_each()
        costs = made.costs(programs, runs)
        title = f"{files:,} encrypted files of {size >> 10} KiB, extracted on {made.cores} cores"
        table(title, costs, dict.fromkeys(costs, "idev-backup"))


def verify_of(ours, on, runs, files, size):
    """Measures a check of the same backup. Only iphone-backup-decrypt writes files; it has to."""
    with Encrypted(on, files, size) as made:
        programs = {
            "openssl enc -d": made.openssl("/dev/null"),
            "verify --deep": [ours, "verify", "--deep", "--quiet", *made.password, made.backup],
            "iphone-backup-decrypt": made.iphone_backup_decrypt(),
        }
        costs = made.costs(programs, runs)
        title = f"{files:,} encrypted files of {size >> 10} KiB, checked on {made.cores} cores"
        table(title, costs, dict.fromkeys(costs, "openssl enc -d"))


def restore(ours, on, runs):
    """Measures the restore of a backup to its phone.

    The phone restarts at once; waiting for it is not part of the measured time.
    """
    for title, flags in {
        "4 GiB in 40 files": ("--files", "0", "--bulk", "40x100M"),
        "50,000 files of 2-20 KiB": ("--files", "50000", "--file-size", "2K..20K", "--bulk", "0x0"),
    }.items():
        with Bench(ours, on, "--restart", "0", *flags) as bench:
            bench.create()
            store = bench.folder / "store"
            mine = [ours, "restore", "--yes", "--quiet", "--store", store]
            programs = {
                "idev-backup --quick-check": [*mine, "--quick-check", "latest"],
                "idevicebackup2": ["idevicebackup2", "restore", "--system", "--settings", store],
                "idev-backup, every byte compared while sent": [*mine, "latest"],
                "idev-backup --check-first": [*mine, "--check-first", "latest"],
            }
            costs = {}
            for _ in range(runs):
                for name, command in programs.items():
                    costs.setdefault(name, []).append(bench.cost(*command))
                    bench.settle()
            print_restores(title, costs)
    # Peak memory depends on the number of files.
    with Bench(ours, on, "--restart", "0", "--files", "1000000", "--file-size", "1..100", "--bulk", "0x0") as bench:
        bench.create()
        store = bench.folder / "store"
        mine = [ours, "restore", "--yes", "--quiet", "--store", store, "latest"]
        print("\n### Peak memory of a restore, 1,000,000 files\n\n| | peak |\n|---|---|")
        for name, command in {"restore": mine, "restore --rehearse (with its phone)": [*mine, "--rehearse"]}.items():
            print(f"| {name} | {bench.cost(*command).memory / (1 << 20):.1f} MiB |", flush=True)
            bench.settle()


def print_restores(title, costs):
    ours = median(next(iter(costs.values())), "seconds")
    print(f"\n### A restore of {title}\n\n| | seconds (of each run) | times the first | processor | memory |\n|---|---|---|---|---|")
    for name, each in costs.items():
        seconds, cpu = median(each, "seconds"), median(each, "cpu")
        memory = max(cost.memory for cost in each) / (1 << 20)
        runs_ = ", ".join(f"{cost.seconds:.2f}" for cost in each)
        print(f"| {name} | {seconds:.2f} ({runs_}) | {seconds / ours:.2f} | {cpu:.2f} s | {memory:.0f} MiB |", flush=True)


def wifi(ours, on, runs):
    """Compares full backups over Wi-Fi (TCP on the loopback network) with those through the daemon."""
    for title, *content in (
        ("1.5 GiB in 15 files", "--files", "0", "--bulk", "15x100M"),
        ("20,000 files of 2-20 KiB", "--files", "20000", "--bulk", "0x0"),
    ):
        with Bench(ours, on, *content, "--wifi", "127.0.0.1:0", "--wifi-on", "--advert", "none") as bench:
            address = bench.phone.stdout.readline().strip().removeprefix("WIFI_ADDRESS=")
            udid, record = bench.pair_record()
            records = Path(bench.environment["HOME"]) / ".config" / "idev-backup" / "pairing"
            records.mkdir(parents=True, mode=0o700)
            (records / f"{udid}.plist").write_bytes(record)
            (records / f"{udid}.plist").chmod(0o600)
            ways = {"daemon": [], "Wi-Fi": ["--transport", "network", "--address", address]}
            costs, rates = {}, {}
            for _ in range(runs):
                for way, words in ways.items():
                    costs.setdefault(way, []).append(bench.create("--full", "--keep-last", "0", *words))
                    rates.setdefault(way, []).append(1 / bench.report()["seconds"]["receive"])
                    bench.clear("store")
            print(f"\n### {title}\n\n| | seconds | processor | receiving, times the daemon's rate |")
            print("|---|---|---|---|")
            for way, each in costs.items():
                rate = statistics.median(rates[way]) / statistics.median(rates["daemon"])
                print(f"| {way} | {median(each, 'seconds'):.2f} | {median(each, 'cpu'):.2f} s | {rate:.2f} |")


def history(ours, on, runs):
    history_of(ours, on, runs, 3, 30, 500_000)


def history_of(ours, on, runs, phones, snapshots, files):
    """Measures `list` with many snapshots, and `prune` of a snapshot with many files."""
    print("\n### History\n\n| | processor seconds | seconds | peak |\n|---|---|---|---|")

    def row(what, costs):
        memory = max(cost.memory for cost in costs) / (1 << 20)
        cpu, seconds = median(costs, "cpu"), median(costs, "seconds")
        print(f"| {what} | {cpu:.2f} | {seconds:.2f} | {memory:.1f} MiB |", flush=True)

    with Bench(ours, on, "--files", "20", "--bulk", "0x0", "--phones", str(phones)) as bench:
        for _ in range(snapshots):
            bench.create("--all", "--keep-last", "100000")
        listed = [bench.cost(ours, "list", "--store", bench.folder / "store") for _ in range(runs)]
        row(f"`list` of {phones} phones with {snapshots} snapshots each", listed)
    flags = ("--files", str(files), "--file-size", "1..100", "--bulk", "0x0", "--changes", "0")
    with Bench(ours, on, *flags) as bench:
        bench.create()
        pruned = []
        for _ in range(runs):
            bench.create("--keep-last", "1")
            pruned.append(bench.cost(ours, "prune", "--keep-last", "0", "--store", bench.folder / "store"))
        row(f"`prune` of a snapshot of {files:,} files", pruned)


def main():
    benches = {
        "large": large, "small": small, "memory": memory, "unchanged": unchanged,
        "verify": verify, "reading": reading, "extract": extract, "restore": restore,
        "history": history, "wifi": wifi,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path, help="the program")
    parser.add_argument("what", nargs="*", help=f"some of {', '.join(benches)}; all by default")
    parser.add_argument("--on", type=Path, action="append", help="a folder to work in")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rest", type=float, default=100, help="seconds without removals before each measurement on a disk")
    options = parser.parse_args()
    places = options.on or [Path("/dev/shm"), ROOT / "target"]
    for name in options.what or benches:
        for place in places:
            kind, device = file_system(place)
            if kind != "tmpfs":
                time.sleep(options.rest)
            print(f"\n## {name}, on {kind} ({device})", flush=True)
            benches[name](options.ours.resolve(), place, options.runs)


if __name__ == "__main__":
    main()
