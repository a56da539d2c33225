#!/usr/bin/env python3
"""Measures the pages of `open`: first views of large backups, files against a plain file server,
and the start of a store with 90 snapshots.

    python3 tests/bench/pages.py target/release/idev-backup [--on DIR] [first] [files] [encrypted] [start]

`files` and `encrypted` need nginx as root, and `encrypted` also the Python package `cryptography`.
`first` makes a backup of 1,000,000 files and 1,000,000 messages, and one of 100,000 photos. Prints
Markdown. Times depend on the machine; those of `files` and `encrypted` are ratios.
"""

import argparse
import hashlib
import http.client
import os
import plistlib
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from measure import backup_of, record

UDIDS = ("00008120-00000000000000A1", "00008120-00000000000000B2")
JPEG = b"\xff\xd8\xff\xe0" + bytes(random.Random(1).randbytes(30_000)) + b"\xff\xd9"


class Pages:
    """A running server, and a browser with its cookie."""

    def __init__(self, ours, store):
        self.begun = time.monotonic()
        environment = {**os.environ, "HOME": str(store.parent)}
        self.process = subprocess.Popen(
            [ours, "open", "--no-browser", "--store", str(store)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )  # fmt: skip
        link = urlsplit(self.process.stdout.readline().strip())
        self.host = link.netloc
        self.connection = http.client.HTTPConnection(self.host, timeout=600)
        answer = self.ask(f"{link.path}?{link.query}", {})
        self.cookie = {"Cookie": answer.getheader("Set-Cookie").split(";")[0]}
        self.home = answer.getheader("Location")

    def ask(self, path, headers):
        self.connection.request("GET", path, headers={"Host": self.host, **headers})
        answer = self.connection.getresponse()
        self.body = answer.read()
        return answer

    def get(self, path, **headers):
        """Returns the seconds that a page takes."""
        begun = time.monotonic()
        answer = self.ask(path, {**self.cookie, **headers})
        if answer.status not in (200, 206):
            sys.exit(f"{path}: {answer.status} {self.body[:2000]}")
        return time.monotonic() - begun

    def unlock(self, backup):
        """Gives the password of an encrypted backup."""
        headers = {**self.cookie, "Host": self.host, "Origin": f"http://{self.host}", "Content-Type": "application/x-www-form-urlencoded"}
        self.connection.request("POST", f"{backup}/unlock", "password=password", headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 303:
            sys.exit(f"{backup}/unlock: {answer.status}")

    def backup(self, udid, number=0):
        """Returns the address of a backup, as the program makes it."""
        self.get(f"{self.home}phone/{udid}")
        links = [part.split('"')[0] for part in self.body.decode().split('href="')[1:]]
        return [link for link in links if "/b/" in link][number]

    def processor(self):
        """Returns the processor seconds of the server. They say more than its times on a busy machine."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) >> 10

    def end(self):
        self.process.terminate()
        self.process.wait()


def store_file(backup, domain, path, source):
    """Adds a file to a backup, in its list too."""
    name = hashlib.sha1(f"{domain}-{path}".encode()).hexdigest()
    (backup / name[:2]).mkdir(exist_ok=True)
    size = source.stat().st_size
    shutil.move(source, backup / name[:2] / name)
    with sqlite3.connect(backup / "Manifest.db") as list_:
        blob = record(path, size, 0o100644, 1_700_000_000, 1, random.Random(1))
        list_.execute("INSERT OR REPLACE INTO Files VALUES (?, ?, ?, 1, ?)", (name, domain, path, blob))
    list_.close()


def messages_of(backup, count):
    """Adds a database of messages: half of them in one of 2,000 conversations."""
    chance, source = random.Random(5), backup / "new.db"
    db = sqlite3.connect(source)
    db.executescript("""
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
    CREATE TABLE message (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT UNIQUE NOT NULL, text TEXT, handle_id INTEGER DEFAULT 0,
      subject TEXT, attributedBody BLOB, service TEXT, error INTEGER DEFAULT 0, date INTEGER, date_read INTEGER, date_delivered INTEGER,
      is_from_me INTEGER DEFAULT 0, item_type INTEGER DEFAULT 0, associated_message_guid TEXT, associated_message_type INTEGER DEFAULT 0,
      balloon_bundle_id TEXT, payload_data BLOB, message_summary_info BLOB);
    CREATE TABLE chat (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT UNIQUE NOT NULL, style INTEGER, chat_identifier TEXT,
      service_name TEXT, display_name TEXT, group_id TEXT);
    CREATE TABLE handle (ROWID INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE, id TEXT NOT NULL, country TEXT, service TEXT NOT NULL);
    CREATE TABLE chat_handle_join (chat_id INTEGER, handle_id INTEGER, UNIQUE(chat_id, handle_id));
    CREATE TABLE attachment (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT UNIQUE NOT NULL, filename TEXT, uti TEXT, mime_type TEXT,
      transfer_name TEXT, total_bytes INTEGER DEFAULT 0);
    CREATE TABLE message_attachment_join (message_id INTEGER, attachment_id INTEGER, UNIQUE(message_id, attachment_id));
    CREATE TABLE chat_message_join (chat_id INTEGER, message_id INTEGER, message_date INTEGER DEFAULT 0, PRIMARY KEY (chat_id, message_id));
    CREATE INDEX message_idx_date ON message(date);
    CREATE INDEX message_idx_associated_message ON message(associated_message_guid);
    CREATE INDEX chat_message_join_idx_message_id_only ON chat_message_join(message_id);
    CREATE INDEX chat_message_join_idx_message_date_id_chat_id ON chat_message_join(chat_id, message_date, message_id);
    """)
    chats = range(1, 2001)
    db.executemany("INSERT INTO handle VALUES (?, ?, 'de', 'iMessage')", ((n, f"+4930{n:07}") for n in chats))
    db.executemany(
        "INSERT INTO chat VALUES (?, ?, 45, ?, 'iMessage', NULL, NULL)", ((n, f"iMessage;-;+4930{n:07}", f"+4930{n:07}") for n in chats)
    )
    db.executemany("INSERT INTO chat_handle_join VALUES (?, ?)", ((n, n) for n in chats))
    body = chance.randbytes(300)

    def date(number):
        return (600_000_000 + number * 300) * 1_000_000_000

    def rows():
        for number in range(1, count + 1):
            is_reaction = number % 20 == 0
            target = f"p:0/{number - 1:036}" if is_reaction else None
            yield (number, f"{number:036}", f"Message {number}, about as long as people write them", number % 2000 + 1, body, date(number),
                   number % 2, target, 2000 if is_reaction else 0)  # fmt: skip

    db.executemany(
        "INSERT INTO message (ROWID, guid, text, handle_id, attributedBody, date, is_from_me, associated_message_guid, associated_message_type) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows())  # fmt: skip
    chat_of = lambda number: 1 if chance.random() < 0.5 else 1 + number % 2000  # noqa: E731
    db.executemany("INSERT INTO chat_message_join VALUES (?, ?, ?)", ((chat_of(n), n, date(n)) for n in range(1, count + 1)))
    attached = range(1, count // 15)
    name = "~/Library/SMS/Attachments/{0:02x}/{0:08x}/picture.jpeg"
    db.executemany(
        "INSERT INTO attachment VALUES (?, ?, ?, 'public.jpeg', 'image/jpeg', 'picture.jpeg', 1000)",
        ((n, f"a{n:036}", name.format(n)) for n in attached),
    )
    db.executemany("INSERT INTO message_attachment_join VALUES (?, ?)", ((n * 15, n) for n in attached))
    db.commit()
    db.close()
    store_file(backup, "HomeDomain", "Library/SMS/sms.db", source)


def photos_of(backup):
    """Adds a photo library with the photos that the list has."""
    with sqlite3.connect(backup / "Manifest.db") as list_:
        paths = [path for (path,) in list_.execute(
            "SELECT relativePath FROM Files WHERE domain = 'CameraRollDomain' AND relativePath LIKE 'Media/DCIM/%.HEIC'")]  # fmt: skip
    list_.close()
    source = backup / "new.db"
    db = sqlite3.connect(source)
    db.executescript("""
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
    CREATE TABLE ZASSET (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, ZDIRECTORY TEXT, ZFILENAME TEXT, ZDATECREATED REAL,
      ZTRASHEDSTATE INTEGER, ZHIDDEN INTEGER, ZFAVORITE INTEGER, ZUUID TEXT, ZMORE BLOB);
    CREATE TABLE ZADDITIONALASSETATTRIBUTES (Z_PK INTEGER PRIMARY KEY, ZASSET INTEGER, ZORIGINALFILENAME TEXT, ZTIMEZONEOFFSET INTEGER, ZMORE BLOB);
    CREATE INDEX ZADDITIONALASSETATTRIBUTES_ZASSET_INDEX ON ZADDITIONALASSETATTRIBUTES (ZASSET);
    """)
    more = random.Random(1).randbytes(300)
    split = [path.removeprefix("Media/").rsplit("/", 1) for path in paths]
    db.executemany("INSERT INTO ZASSET VALUES (?, 3, ?, ?, ?, 0, 0, ?, ?, ?)", (
        (n, folder, name, 400_000_000.5 + n * 3000, n % 30 == 0, f"{n:036}", more) for n, (folder, name) in enumerate(split, 1)))  # fmt: skip
    db.executemany("INSERT INTO ZADDITIONALASSETATTRIBUTES VALUES (?, ?, ?, 7200, ?)", ((n, n, name, more) for n, (_, name) in enumerate(split, 1)))
    db.commit()
    db.close()
    store_file(backup, "CameraRollDomain", "Media/PhotoData/Photos.sqlite", source)
    return len(paths)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def new_store(folder):
    store = folder / "store"
    (store / ".idev-backup").mkdir(parents=True)
    (store / ".idev-backup" / "store.json").write_text('{\n  "format": 2,\n  "made_by": "idev-backup"\n}\n')
    return store


def first(ours, folder, runs):
    store = new_store(folder)
    backup_of(store / UDIDS[0], 1_000_000)
    messages_of(store / UDIDS[0], 1_000_000)
    backup_of(store / UDIDS[1], 400_000)
    photos = photos_of(store / UDIDS[1])
    print(f"\n### First views: 1,000,000 files, 1,000,000 messages; {photos:,} photos\n")
    print("Milliseconds until the whole page was there. `first`: the server has just started.\n")
    print("| page | first | of the processor | again | peak |\n|---|---|---|---|---|")
    large, small = UDIDS
    views = [
        ("the backup", large, ""), ("domains", large, "/files"), ("the camera roll's files", large, "/files?d=CameraRollDomain"),
        ("a folder of 2,500 photos", large, "/files?d=CameraRollDomain&p=Media/DCIM/150APPLE"),
        ("an app's folder", large, "/files?d=AppDomain-com.example.app003&p=Documents/store/9"),
        ("caches", large, "/files?d=HomeDomain&p=Library/Caches"), ("conversations", large, "/messages"),
        ("the end of 500,000 messages", large, "/messages/0"), ("the middle of 500,000 messages", large, "/messages/0?page=2500"),
        ("photos", small, "/photos"), ("a month of photos", small, "/photos?month=2020-05"), ("favorites", small, "/photos?favorites=1"),
    ]  # fmt: skip
    for name, udid, path in views:
        begun, cost, again, peak = [], [], [], 0
        for _ in range(runs):
            pages = Pages(ours, store)
            backup = pages.backup(udid)
            before = pages.processor()
            begun.append(pages.get(backup + path))
            cost.append(pages.processor() - before)
            again.append(pages.get(backup + path))
            peak = max(peak, pages.memory())
            pages.end()
        print(f"| {name} | {min(begun) * 1000:.0f} | {min(cost) * 1000:.0f} | {min(again) * 1000:.0f} | {peak} MiB |", flush=True)


def plain_server(folder):
    """Starts nginx on a folder. Python's own server waits 40 ms for an acknowledgement after each small file."""
    port = free_port()
    config = folder.parent / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; user root; pid {folder.parent}/nginx.pid; error_log stderr crit; events {{}} "
        "http { access_log off; sendfile on; keepalive_requests 1000000; "
        f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}"
    )
    plain = subprocess.Popen(["nginx", "-c", config], stderr=subprocess.DEVNULL)
    while plain.poll() is None:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return port, plain
        time.sleep(0.05)
    sys.exit("error: nginx did not start; it is in Debian's package nginx-light")


def all_of(host, paths, headers):
    """Fetches files over one connection. Returns the seconds and the bytes."""
    connection, begun, length = http.client.HTTPConnection(host, timeout=600), time.monotonic(), 0
    for path in paths:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        while chunk := answer.read(1 << 20):
            length += len(chunk)
    return time.monotonic() - begun, length


def compare(what, runs, pages, ours_, port, others):
    """Fetches the same files from both servers in turn, and prints the shortest times."""
    mine, theirs = [], []
    for _ in range(runs):
        mine.append(all_of(pages.host, ours_, pages.cookie))
        theirs.append(all_of(f"127.0.0.1:{port}", others, {}))
    assert {length for _, length in mine} == {length for _, length in theirs}
    one, other = min(mine)[0], min(theirs)[0]
    print(f"| {what} | {one:.2f} s | {other:.2f} s | {other / one:.2f} |", flush=True)


def encrypted(ours, folder, runs):
    """Compares downloads from an encrypted backup with nginx on the decrypted bytes."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    print("\n### Files that are decrypted, against nginx on the plaintext\n")
    print("| | ours | plain | ratio of rates |\n|---|---|---|---|")
    for what, udid, number, size in (("1,000 files of 30 KB", UDIDS[0], 1000, 30_000), ("a file of 512 MiB", UDIDS[1], 1, 512 << 20)):
        store = new_store(folder / udid)
        maker = [sys.executable, str(Path(__file__).with_name("encrypted.py")), str(store / udid), str(number), str(size)]
        made = [line.split() for line in subprocess.check_output(maker, text=True).splitlines()]
        texts = folder / udid / "plain"
        texts.mkdir()
        for place, key, _ in made:
            decryptor = Cipher(algorithms.AES(bytes.fromhex(key)), modes.CBC(bytes(16))).decryptor()
            text = decryptor.update((store / udid / place).read_bytes())
            (texts / place.split("/")[1]).write_bytes(text[:size])
        port, plain = plain_server(texts)
        pages = Pages(ours, store)
        address = pages.backup(udid)
        pages.unlock(address)
        names = [place.split("/")[1] for place, _, _ in made]
        pages.get(f"{address}/download/{names[0]}")
        assert pages.body == (texts / names[0]).read_bytes()
        ours_ = [f"{address}/download/{name}" for name in names]
        compare(what, runs, pages, ours_, port, [f"/{name}" for name in names])
        pages.end()
        plain.terminate()
        plain.wait()


def files(ours, folder, runs):
    """Compares thumbnails and a large download with nginx, on the same bytes."""
    store = new_store(folder)
    backup = store / UDIDS[0]
    backup_of(backup, 1000)
    names = []
    for number in range(1000):
        source = backup / "new"
        source.write_bytes(JPEG)
        path = f"Media/PhotoData/Thumbnails/V2/DCIM/999APPLE/IMG_{number:04}.HEIC/5005.JPG"
        store_file(backup, "CameraRollDomain", path, source)
        names.append(hashlib.sha1(f"CameraRollDomain-{path}".encode()).hexdigest())
    source = backup / "new"
    source.write_bytes(b"\0\0\0\x20ftypisom" + os.urandom(1 << 20) * 2048)
    store_file(backup, "CameraRollDomain", "Media/DCIM/999APPLE/IMG_9999.MOV", source)
    film = hashlib.sha1(b"CameraRollDomain-Media/DCIM/999APPLE/IMG_9999.MOV").hexdigest()
    port, plain = plain_server(backup)
    pages = Pages(ours, store)
    address = pages.backup(UDIDS[0])
    print("\n### Files, against nginx on the same bytes\n")
    print("| | ours | plain | ratio of rates |\n|---|---|---|---|")
    for what, of in (("1,000 thumbnails of 30 KB", names), ("a video of 2 GiB", [film])):
        ours_ = [f"{address}/raw/{name}" for name in of]
        compare(what, runs, pages, ours_, port, [f"/{name[:2]}/{name}" for name in of])
    pages.end()
    plain.terminate()
    plain.wait()


def start(ours, folder, runs):
    """Measures the time from the start of the program to the first byte of the first page."""
    store = new_store(folder)
    for phone in range(3):
        udid = f"00008120-00000000000000D{phone}"
        for number in range(30):
            backup = store / udid if number == 29 else store / ".idev-backup" / udid / f"2026{number // 28 + 1:02}{number % 28 + 1:02}-080000"
            backup.parent.mkdir(parents=True, exist_ok=True)
            backup_of(backup, 10)
            date = f"2026-{number // 28 + 1:02}-{number % 28 + 1:02}T08:00:00Z"
            status = f"<plist version='1.0'><dict><key>SnapshotState</key><string>finished</string><key>Date</key><date>{date}</date></dict></plist>"
            (backup / "Status.plist").write_text(status)
            info = {"Device Name": f"Phone {phone}", "Product Type": "iPhone16,1", "iTunes Files": {"x": bytes(1 << 20)}}
            (backup / "Info.plist").write_bytes(plistlib.dumps(info))
    seconds = []
    for _ in range(runs):
        pages = Pages(ours, store)
        pages.get(pages.home)
        seconds.append(time.monotonic() - pages.begun)
        pages.end()
    print(f"\n### Start\n\nFrom the start of `open` to the first page of 90 snapshots: {min(seconds) * 1000:.0f} ms.")


def main():
    parts = {"first": first, "files": files, "encrypted": encrypted, "start": start}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=lambda path: Path(path).resolve(strict=True))
    parser.add_argument("parts", nargs="*", choices=[*parts, []])
    parser.add_argument("--on", default=None)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for name in options.parts or parts:
        folder = Path(tempfile.mkdtemp(prefix="pages-", dir=options.on))
        try:
            parts[name](options.ours, folder, options.runs)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
