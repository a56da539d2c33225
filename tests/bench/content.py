#!/usr/bin/env python3
"""Measures exports of messages and searches in them, in backups of 1,000,000 messages.

    python3 tests/bench/content.py target/release/idev-backup [--on DIR] [--imessage-exporter PATH]

Makes a plain and an encrypted backup of the same 1,000,000 messages with 50,000 attachments, in the
schema that the simulated phone has, and a page of the longest conversation. Measures ours beside
mvt-ios, which must be below target/peers, and beside imessage-exporter if its path is given. The
programs run in turn. Prints Markdown. Runs with the Python of target/peers/venv-content, which has
`cryptography`. With `--keep DIR` the backups stay there and serve the next run.
"""

import argparse
import hashlib
import json
import os
import plistlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import encrypted
from measure import SCHEMA, Cost, record

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "peers"))
PEERS = HERE.parents[1] / "target" / "peers"
MVT = Path(sys.executable).parent / "mvt-ios"
MESSAGES, ATTACHMENTS, CHATS, LONGEST = 1_000_000, 50_000, 2_000, 100_000
FILE = b"\xff\xd8\xff\xe0" + random.Random(1).randbytes(4000) + b"\xff\xd9"
SMS = ("HomeDomain", "Library/SMS/sms.db")
CONTACTS = ("HomeDomain", "Library/AddressBook/AddressBook.sqlitedb")
PASSWORD = "password"
# A word that a few hundred messages have, and one that none has.
RARE, ABSENT = "lighthouse", "zeppelin"
WORDS = (
    "the to and you we at it is that for are on this have be with not but was all so if tomorrow tonight maybe train station dinner "
    "kids school call later thanks great sorry late home work photo weekend tickets coffee running meeting please could bring left "
    "right window garden birthday cake müde größer mañana 😂 ❤️ 写真 привет see soon okay really"
).split()


def string(text):
    """Returns a string as typedstream has it: its length, then UTF-8."""
    data = text.encode()
    length = bytes([len(data)]) if len(data) < 0x80 else b"\x81" + len(data).to_bytes(2, "little")
    return length + data


def number(value):
    return bytes([value]) if value < 0x80 else b"\x81" + value.to_bytes(2, "little")


def body(text, attached=None):
    """Returns an archived text with one run, as a phone with iOS 14 wrote it."""
    head = (
        b"\x04\x0bstreamtyped\x81\xe8\x03\x84\x01@\x84\x84\x84\x12NSAttributedString\x00\x84\x84\x08NSObject\x00\x85\x92"
        b"\x84\x84\x84\x08NSString\x01\x94\x84\x01+"
    )
    units = len(text.encode("utf-16-le")) // 2
    run = b"\x86\x84\x02iI\x01" + number(units) + b"\x92\x84\x84\x84\x0cNSDictionary\x00\x94\x84\x01i"
    run += b"\x02" if attached else b"\x01"
    if attached:
        file = string("__kIMFileTransferGUIDAttributeName")
        run += b"\x92\x84\x96\x96" + file + b"\x86\x92\x84\x96\x96" + string(attached) + b"\x86"
    part = b"\x1d__kIMMessagePartAttributeName\x86\x92\x84\x84\x84\x08NSNumber\x00\x84\x84\x07NSValue\x00\x94\x84\x01*\x84\x99\x99\x00\x86"
    return head + string(text) + run + b"\x92\x84\x96\x96" + part + b"\x86\x86"


def stored(backup, file):
    name = hashlib.sha1("-".join(file).encode()).hexdigest()
    return backup / name[:2] / name


def schema_of(backup):
    """Returns the statements that make the tables and indexes of the simulated phone's messages."""
    with sqlite3.connect(stored(backup, SMS)) as database:
        rows = database.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type = 'index'")
        return [sql for (sql,) in rows]


def path_of(attachment):
    return f"Library/SMS/Attachments/{attachment % 256:02x}/{attachment % 16:02}/{attachment:08X}/IMG_{attachment:05}.jpeg"


def database_of(path, schema):
    """Makes the database. A tenth of the messages are in one conversation."""
    chance = random.Random(5)
    db = sqlite3.connect(path)
    db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN;" + ";".join(schema))
    address = lambda chat: f"+49151{chat:08}"  # noqa: E731
    db.executemany(
        "INSERT INTO handle (ROWID, id, country, service) VALUES (?, ?, 'de', 'iMessage')",
        ((n, address(n)) for n in range(1, CHATS + 1)),
    )
    db.executemany(
        "INSERT INTO chat (ROWID, guid, style, chat_identifier, service_name, account_login) VALUES (?, ?, 45, ?, 'iMessage', 'P:+491510000000')",
        ((n, f"iMessage;-;{address(n)}", address(n)) for n in range(1, CHATS + 1)),
    )
    db.executemany("INSERT INTO chat_handle_join VALUES (?, ?)", ((n, n) for n in range(1, CHATS + 1)))
    each, chats, targets = MESSAGES // ATTACHMENTS, [], {}

    def rows():
        for n in range(1, MESSAGES + 1):
            chat = 1 if n % 10 == 0 else 2 + int((CHATS - 1) * chance.random() ** 2)
            chats.append(chat)
            date = (500_000_000 + n * 250) * 1_000_000_000
            guid = f"{n:08X}-0000-4000-8000-{n:012X}"
            from_me = chance.random() < 0.5
            text = " ".join(chance.choices(WORDS, k=1 + int(chance.expovariate(1 / 8))))
            if n % 5000 == 7:
                text += f" {RARE}"
            file, kind, target, original = None, 0, None, None
            if n % each == 1:
                file, text = f"at_0_{n // each + 1:08X}", "\ufffc"
            elif chance.random() < 0.05 and chat in targets:
                kind, target, text = chance.randrange(2000, 2006), f"p:0/{targets[chat]}", f"Liked “{text}”"
            elif chance.random() < 0.03 and chat in targets:
                original = targets[chat]
            if not kind:
                targets[chat] = guid
            yield (n, guid, text, chat, body(text, file), "iMessage", date, date + 10**10 if from_me else 0,
                   date + 5 * 10**9 if from_me else 0, from_me, from_me, target, kind, original, bool(file))  # fmt: skip

    db.executemany(
        "INSERT INTO message (ROWID, guid, text, handle_id, attributedBody, service, date, date_read, date_delivered, is_from_me, is_sent, "
        "associated_message_guid, associated_message_type, thread_originator_guid, cache_has_attachments) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows())  # fmt: skip
    db.executemany(
        "INSERT INTO chat_message_join (chat_id, message_id, message_date) VALUES (?, ?, ?)",
        ((chat, n, (500_000_000 + n * 250) * 1_000_000_000) for n, chat in enumerate(chats, 1)),
    )
    db.executemany(
        "INSERT INTO attachment (ROWID, guid, filename, uti, mime_type, transfer_name, total_bytes) VALUES (?, ?, ?, 'public.jpeg', 'image/jpeg', ?, ?)",
        ((n, f"at_0_{n:08X}", f"~/{path_of(n)}", path_of(n).rpartition("/")[2], len(FILE)) for n in range(1, ATTACHMENTS + 1)),
    )
    db.executemany("INSERT INTO message_attachment_join VALUES (?, ?)", (((n - 1) * each + 1, n) for n in range(1, ATTACHMENTS + 1)))
    db.commit()
    db.close()


def backups_of(ours, folder):
    """Makes the same backup twice: plain, and encrypted."""
    folder.mkdir(parents=True)
    messages = folder / "sms.db"
    subprocess.run([ours, "demo", "--quiet", "--store", folder / "demo"], check=True, stdout=subprocess.DEVNULL)
    demo = next(path.parent for path in folder.glob("demo/*/Manifest.db"))
    database_of(messages, schema_of(demo))
    files = [(*CONTACTS, stored(demo, CONTACTS).read_bytes())]
    shutil.rmtree(folder / "demo")
    chance, keys = random.Random(1), encrypted.Keys(1000)
    files += [(*SMS, messages.read_bytes()), *(("MediaDomain", path_of(n), FILE) for n in range(1, ATTACHMENTS + 1))]
    for name in ("plain", "encrypted"):
        backup = folder / name
        backup.mkdir()
        for number in range(256):
            (backup / f"{number:02x}").mkdir()
        plain = backup / ("Manifest.db" if name == "plain" else "plain.db")
        list_ = sqlite3.connect(plain)
        list_.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
        for domain, path, data in files:
            id_ = hashlib.sha1(f"{domain}-{path}".encode()).hexdigest()
            if name == "plain":
                blob = record(path, len(data), 0o100644, 1_700_000_000, 1, chance)
                content = data
            else:
                key = os.urandom(32)
                blob, content = encrypted.record(path, len(data), keys.wrapped(key)), encrypted.encrypt(key, data)
            (backup / id_[:2] / id_).write_bytes(content)
            list_.execute("INSERT INTO Files VALUES (?, ?, ?, 1, ?)", (id_, domain, path, blob))
        list_.commit()
        list_.close()
        if name == "encrypted":
            encrypted.finish(backup, plain, keys)
        else:
            # imessage-exporter needs each of these facts.
            phone = {"ProductVersion": "18.6.2", "BuildVersion": "22G100", "DeviceName": "Million", "ProductType": "iPhone16,1",
                     "SerialNumber": "A1", "UniqueDeviceID": "A1"}  # fmt: skip
            facts = {"IsEncrypted": False, "Version": "10.0", "Applications": {}, "Lockdown": phone}
            (backup / "Manifest.plist").write_bytes(plistlib.dumps(facts, fmt=plistlib.FMT_BINARY))
            (backup / "Status.plist").write_bytes(plistlib.dumps({"SnapshotState": "finished", "IsFullBackup": True}))
            info = {"Device Name": "Million", "Product Type": "iPhone16,1", "Product Version": "18.6.2"}
            (backup / "Info.plist").write_bytes(plistlib.dumps(info))
    (folder / "password").write_text(PASSWORD + "\n")
    messages.unlink()


def best(costs):
    return min(costs, key=lambda cost: cost.seconds)


def measured(options, folder, out):
    ours, plain, secret = options.ours, folder / "plain", folder / "encrypted"
    password = ["--password-file", folder / "password"]
    export = [ours, "export", "messages", "--quiet", "--to"]
    programs = {
        "`export messages --format jsonl`": [*export, out, "--format", "jsonl", plain],
        "the same without files": [*export, out, "--format", "jsonl", "--attachments", "none", plain],
        "the same, encrypted": [*export, out, "--format", "jsonl", *password, secret],
        "encrypted, without files": [*export, out, "--format", "jsonl", "--attachments", "none", *password, secret],
        "`--format html`": [*export, out, "--format", "html", plain],
        "`--format txt`, without files": [*export, out, "--format", "txt", "--attachments", "none", plain],
        f"`search {RARE}` in messages": [ours, "search", RARE, "--in", "messages", plain],
        f"`search -i {ABSENT}` in messages": [ours, "search", "-i", ABSENT, "--in", "messages", plain],
        f"`search {RARE}`, encrypted": [ours, "search", RARE, "--in", "messages", *password, secret],
    }
    if options.imessage_exporter:
        exporter = [options.imessage_exporter, "-f", "txt", "-a", "iOS", "-o", out]
        programs["imessage-exporter, txt, without files"] = [*exporter, "-c", "disabled", "-p", plain]
        programs["imessage-exporter, txt, with files"] = [*exporter, "-c", "clone", "-p", plain]
    mvt = [MVT, "--disable-update-check", "--disable-indicator-update-check", "check-backup", "--fast", "-o", out]
    # It keeps all messages in memory: more than 6.7 GB.
    if MVT.exists() and not options.without_mvt:
        programs["mvt-ios, module SMS (messages)"] = [*mvt, "-m", "SMS", plain]
        programs["mvt-ios, module SMSAttachments"] = [*mvt, "-m", "SMSAttachments", plain]
    costs = {name: [] for name in programs}
    for _ in range(options.runs):
        for name, command in programs.items():
            if options.only and options.only not in name:
                continue
            # ext4 searches long for an inode if many were freed just before, so nothing is removed yet.
            if out.exists():
                out.rename(out.with_name(f"done-{len(list(out.parent.iterdir()))}"))
            out.mkdir()
            cost = Cost(*command, env={**os.environ, "TZ": "UTC", "HOME": str(folder)})
            costs[name].append(cost)
            print(f"{name}: {cost.seconds:.2f} s, {cost.cpu:.2f} s, {cost.memory >> 20} MiB", file=sys.stderr, flush=True)
    print(f"\n### {MESSAGES:,} messages, {ATTACHMENTS:,} attachments of 4 KB\n")
    print("| | seconds | of the processor | peak |\n|---|---|---|---|")
    for name, runs in costs.items():
        if runs:
            one = best(runs)
            print(f"| {name} | {one.seconds:.2f} | {one.cpu:.2f} | {one.memory >> 20} MiB |")


def pages(options, folder, out):
    """Opens the longest conversation in Chromium."""
    from browser import Tools

    shutil.rmtree(out, ignore_errors=True)
    command = [options.ours, "export", "messages", "--quiet", "--to", out, "--format", "html", "--attachments", "none", folder / "plain"]
    Cost(*command, "--chat", f"+49151{1:08}")
    written = sorted((out / "chats").glob("*.html"), key=lambda path: path.stat().st_size)
    print(f"\n### The conversation of {LONGEST:,} messages in Chromium\n")
    print(f"{len(written)} pages of at most {written[-1].stat().st_size / 1e6:.1f} MB.\n")
    print("| page | first paint | loaded |\n|---|---|---|")
    profile = Path(tempfile.mkdtemp(prefix="content-"))
    chromium = shutil.which("chromium")
    tools = Tools(chromium, profile)
    try:
        tools.look(1280, "light")
        for name, page in (("index", out / "index.html"), ("the largest", written[-1])):
            times = []
            for _ in range(options.runs):
                tools.load(page.as_uri())
                times.append(json.loads(tools.value(
                    "new Promise(done => setTimeout(() => done(JSON.stringify([performance.getEntriesByName('first-contentful-paint')[0].startTime,"
                    "performance.getEntriesByType('navigation')[0].loadEventEnd])), 500))")))  # fmt: skip
            paint, loaded = (min(one) for one in zip(*times))
            print(f"| {name} | {paint:.0f} ms | {loaded:.0f} ms |")
        if options.shot:
            tools.shot(options.shot)
    finally:
        tools.end()
        shutil.rmtree(profile)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=lambda path: Path(path).resolve(strict=True))
    parser.add_argument("--on", default=None)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--imessage-exporter", type=Path)
    parser.add_argument("--without-mvt", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help="only programs whose name has this text")
    parser.add_argument("--shot", type=Path, help="keep a screenshot of the largest page")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="content-", dir=options.on))
    folder = options.keep or work / "backups"
    try:
        if not folder.exists():
            backups_of(options.ours, folder)
        measured(options, folder, work / "out")
        if not options.only:
            pages(options, folder, work / "out")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
