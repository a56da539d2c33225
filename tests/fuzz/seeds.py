#!/usr/bin/env python3
"""Makes the first inputs of the fuzz targets, one valid input of each kind, only with Python."""

import hashlib
import json
import plistlib
import sqlite3
import struct
import tempfile
from pathlib import Path

INPUTS = Path(__file__).resolve().parent / "inputs"
UDID = "00008130-001A2B3C4D5E6F70"
ID = hashlib.sha1(b"HomeDomain-x").hexdigest()


def keep(target, name, data):
    folder = INPUTS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def binary(value):
    return plistlib.dumps(value, fmt=plistlib.FMT_BINARY)


def message(*parts):
    body = binary(list(parts))
    return struct.pack(">I", len(body)) + body


def text(words):
    return struct.pack(">I", len(words)) + words.encode()


def chunk(code, data=b""):
    return struct.pack(">IB", len(data) + 1, code) + data


def upload(*files):
    said = message("DLMessageUploadFiles", {}, 10.0, 100)
    for path, chunks in files:
        said += text("/var/mobile/x") + text(path) + b"".join(chunks)
    return said + struct.pack(">I", 0)


EMPTY = "___EmptyParameterString___"
place = f"{UDID}/Snapshot/{ID[:2]}/{ID}"
verdict = message("DLMessageProcessMessage", {"MessageName": "Response", "ErrorCode": 0, "ErrorDescription": ""})
whole = [chunk(12, b"abc"), chunk(12, b"de"), chunk(0)]
keep("session", "verdict", verdict)
keep("session", "upload", upload((place, whole), (f"{UDID}/Status.plist", whole)) + verdict)
keep("session", "device-error", upload((place, [chunk(12, b"abc"), chunk(11, b"Input/output error (5)")])) + verdict)
keep("session", "questions", b"".join([
    message("DLMessageGetFreeDiskSpace"), message("DLMessagePurgeDiskSpace", 1 << 30),
    message("DLContentsOfDirectory", UDID), message("DLMessageCreateDirectory", f"{UDID}/ab", EMPTY, 1.0),
    message("DLMessageMoveItems", {place: f"{UDID}/{ID[:2]}/{ID}"}, {}, 2.0),
    message("DLMessageRemoveItems", [f"{UDID}/Snapshot"], {}, 3.0), message("DLMessageCopyItem", "/.b/6/x", f"{UDID}/y"),
    message("DLMessageDownloadFiles", [f"{UDID}/Status.plist"], {}, 4.0), message("DLMessagePing", EMPTY),
    message("DLMessageWhatever", 1), message("DLMessageDisconnect", EMPTY),
]))  # fmt: skip
keep("session", "hostile", upload(("../../etc/passwd", whole)))

answer = plistlib.dumps({"MessageType": "Result", "Number": 0})
keep("usbmux", "result", struct.pack("<IIII", 16 + len(answer), 1, 8, 1) + answer)
keep("afc", "status", b"CFA6LPAA" + struct.pack("<QQQQQ", 48, 48, 0, 1, 0))
pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
keys = ("DeviceCertificate", "HostCertificate", "RootCertificate", "HostPrivateKey", "RootPrivateKey", "EscrowBag")
pairing = {**dict.fromkeys(keys, pem), "HostID": "A", "SystemBUID": "B", "WiFiMACAddress": "00:00:00:00:00:00"}
keep("pair_record", "record", plistlib.dumps(pairing))

fields = {"Size": 70000, "Mode": 0o100644, "RelativePath": plistlib.UID(2), "$class": plistlib.UID(3)}
archive = {
    "$version": 100000, "$archiver": "NSKeyedArchiver", "$top": {"root": plistlib.UID(1)},
    "$objects": ["$null", fields, "x", {"$classname": "MBFile", "$classes": ["MBFile", "NSObject"]}],
}  # fmt: skip
keep("record", "archive", binary(archive))
keep("record", "plain", binary({"Size": 7, "Mode": 0o100644}))
status = {"SnapshotState": "finished", "BackupState": "new", "IsFullBackup": True, "UUID": "U", "Version": "3.3"}
keep("plist", "binary", binary({**status, "list": [1, 2.5, b"data", {"a": "ü"}]}))
keep("plist", "xml", plistlib.dumps(status))
keep("metadata", "status", binary(status))
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "db"
    db = sqlite3.connect(path)
    db.executescript("PRAGMA page_size = 512; CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT,"
                     " flags INTEGER, file BLOB); CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);")  # fmt: skip
    db.execute("INSERT INTO Files VALUES (?, 'HomeDomain', 'x', 1, ?)", (ID, binary(archive)))
    db.commit()
    db.close()
    keep("metadata", "database", path.read_bytes())
digits = hashlib.sha256(b"abc").hexdigest()
keep("lists", "sums", f"{digits}  {ID[:2]}/{ID}\n{digits}  Info.plist\n".encode())
keep("lists", "journal", f"K\t{digits}\t3\tU/Snapshot/00/{'0' * 40}\nM\tU/Snapshot/00/{'0' * 40}\tU/00/{'0' * 40}\n"
     f"R\tU/x\nMD\tU/a\tU/b\nCD\tU/b\tU/c\n?\tU/y\nC\tU/y\tU/z\nRD\tU/c\n".encode())  # fmt: skip
keep("path", "file", place.encode())
keep("path", "restore", b"/.b/6/x")


def old(words):
    return b"\xff\xff" if words is None else struct.pack(">H", len(words)) + words


def old_record(path, mode, size=0, link=None, digest=None, key=None, attributes=()):
    strings = b"".join(map(old, (b"HomeDomain", path, link, digest, key)))
    numbers = struct.pack(">HQIIIIIQBB", mode, 77, 501, 501, 1, 2, 3, size, 4, len(attributes))
    return strings + numbers + b"".join(old(name) + old(value) for name, value in attributes)


folder, file = old_record(b"", 0o40755), old_record(b"Library/x", 0o100644, 9, digest=b"d" * 20)
keep("mbdb", "plain", b"mbdb\5\0" + folder + file + old_record(b"l", 0o120755, link=b"/etc/passwd"))
keep("mbdb", "encrypted", b"mbdb\5\0" + old_record(b"x", 0o100644, 9, key=b"k" * 44, attributes=[(b"name", b"value")]))
keep("mbdb", "hostile", b"mbdb\5\0" + old_record(b"../../x", 0o100644, 1 << 63) + file + file)


def fields(*pairs):
    values = ((tag, struct.pack(">I", value) if isinstance(value, int) else value) for tag, value in pairs)
    return b"".join(tag + struct.pack(">I", len(value)) + value for tag, value in values)


bag = fields((b"VERS", 5), (b"TYPE", 1), (b"UUID", b"u" * 16), (b"HMCK", b"h" * 40), (b"WRAP", 1), (b"SALT", b"s" * 20),
             (b"ITER", 10000))  # fmt: skip
derivation = fields((b"DPWT", 0), (b"DPIC", 10000000), (b"DPSL", b"p" * 20))
one = fields((b"UUID", b"a" * 16), (b"CLAS", 2), (b"WRAP", 3), (b"KTYP", 1), (b"WPKY", b"k" * 40), (b"PBKY", b"q" * 32))
other = fields((b"UUID", b"b" * 16), (b"CLAS", 11), (b"WRAP", 2), (b"KTYP", 0), (b"WPKY", b"l" * 40))
keep("keybag", "bag", bag + derivation + one + other)
keep("keybag", "old", bag + other)

FILES = "CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB)"
for name, path, flags in (("file", "Library/x.plist", 1), ("climbs", "../../x", 1), ("link", "l", 4)):
    with tempfile.TemporaryDirectory() as place:
        made = Path(place, "Manifest.db")
        database = sqlite3.connect(made)
        database.execute("PRAGMA page_size = 512")
        database.execute(FILES)
        record = binary({"Size": 8, "Mode": 0o100644, "Target": "/etc/passwd", "Digest": b"d" * 20})
        database.execute("INSERT INTO Files VALUES (?, 'HomeDomain', ?, ?, ?)", ("aa" * 20, path, flags, record))
        database.execute("INSERT INTO Files VALUES (?, 'HomeDomain', '', 2, NULL)", ("ab" * 20,))
        database.commit()
        database.close()
        keep("backup", name, made.read_bytes())

lines = [
    {"trace": 1, "by": "seeds.py", "at": "transcribed"}, {"t": 0.1, "ch": 1, "open": "com.apple.mobilebackup2", "phone": UDID},
    {"t": 0.2, "ch": 1, "dir": "<", "plist": ["DLMessageUploadFiles", {"$$a": {"$data": 4}, "n": {"$redacted": "die-id-1"}}, 1.5, 2]},
    {"t": 0.3, "ch": 1, "dir": "<", "file": {"from": "path-1", "to": place, "bytes": 3, "sha256": "ab", "body": "YWJj", "end": [11, "no"]}},
    {"t": 0.4, "ch": 1, "dir": "<", "files": "end"}, {"t": 0.5, "ch": 1, "dir": ">", "raw": 7}, {"t": 0.6, "ch": 1, "close": ">"},
    {"t": 0.7, "ch": 2, "open": "com.apple.afc", "on": 1},
    {"t": 0.8, "ch": 2, "dir": ">", "afc": {"number": 1, "op": "FileOpen", "words": [2], "paths": ["/a"], "data": 3}},
]  # fmt: skip
keep("trace", "every-kind", "".join(json.dumps(line) + "\n" for line in lines).encode())
keep("framing", "device-link", b"\x02\x07" + upload((place, whole)) + verdict)
keep("framing", "afc", b"\x03\x05" + b"CFA6LPAA" + struct.pack("<QQQQQ", 48, 48, 0, 1, 0))
keep("framing", "usbmux", b"\x00\x03" + struct.pack("<IIII", 16 + len(answer), 1, 8, 1) + answer)
keep("framing", "lockdown", b"\x01\x02" + struct.pack(">I", len(answer)) + answer)


# A phone on USB: turns of [kind][count]. Kind 0 is a transfer of `count` bytes and kind 1 one of
# 256 times as many; 3 connects, 4 reads, 5 writes, 6 closes, and 7 waits.
def transfer(data):
    return (b"\0" + bytes([len(data)]) if len(data) < 256 else b"\1" + bytes([len(data) >> 8])) + data


def segment(major, port, flags, data=b"", ack=1, window=512):
    tcp = struct.pack(">HHIIBBHHH", 78, port, 1, ack, 0x50, flags, window, 0, 0) + data
    header = 16 if major == 2 else 8
    second = struct.pack(">IHH", 0xFEEDFACE, 1, 1) if major == 2 else b""
    return struct.pack(">II", 6, header + len(tcp)) + second + tcp


for major in (1, 2):
    told = transfer(struct.pack(">IIIII", 0, 20, major, 0, 0))
    opened = told + b"\x03\x4e" + transfer(segment(major, 1, 0x12))
    dialog = transfer(segment(major, 1, 0x10, b"answer")) + b"\x04\x01" + b"\x05\x01" + b"\x07\x28"
    large = transfer(segment(major, 1, 0x10, bytes(4096 - 36 if major == 2 else 4096 - 28), ack=257))
    keep("mux", f"dialog-{major}", opened + dialog + large + b"\x04\xff" + b"\x07\xff" + b"\x06\x00")
    keep("mux", f"refused-{major}", told + b"\x03\x4e" + transfer(segment(major, 1, 4, b"no")) + transfer(segment(major, 9, 2)))
keep("mux", "words", told + transfer(struct.pack(">IIIHH", 1, 20, 0xFEEDFACE, 0, 0) + b"\x03bad") + transfer(struct.pack(">II", 2, 16)))

# Bodies of messages: two that an iPad with iOS 14 wrote (the competition UIUCTF 2021), and one with
# an attachment, a link and a style, put together by hand.
HEAD = b"\x04\x0bstreamtyped\x81\xe8\x03\x84\x01@\x84"
received = HEAD + b"\x84\x84\x12NSAttributedString\x00\x84\x84\x08NSObject\x00\x85\x92\x84\x84\x84\x08NSString\x01\x94\x84\x01+"
part = b"\x1d__kIMMessagePartAttributeName\x86\x92\x84\x84\x84\x08NSNumber\x00\x84\x84\x07NSValue\x00\x94\x84\x01*\x84\x99\x99\x00\x86"
plain = received + b"\x04\xf0\x9f\xa4\xa2\x86\x84\x02iI\x01\x02\x92\x84\x84\x84\x0cNSDictionary\x00\x94\x84\x01i\x01\x92\x84\x96\x96" + part + b"\x86\x86"
keep("typedstream", "received", plain)
keep("typedstream", "sent", HEAD + bytes.fromhex(
    "8484194e534d757461626c6541747472696275746564537472696e67008484124e5341747472696275746564537472696e670084"
    "84084e534f626a6563740085928484840f4e534d757461626c65537472696e67018484084e53537472696e67019584012b0e5265"
    "64416d6f67757323383731358684026949010e928484840c4e5344696374696f6e617279009584016901928498981d5f5f6b494d"
    "4d657373616765506172744174747269627574654e616d658692848484084e534e756d626572008484074e5356616c7565009584"
    "012a849b9b00868686"))  # fmt: skip
file = b"\x22__kIMFileTransferGUIDAttributeName\x86\x92\x84\x96\x96\x09at_0_ABCD\x86"
url = b"\x16__kIMLinkAttributeName\x86\x92\x84\x84\x84\x05NSURL\x00\x94\x84\x01c\x00\x92\x84\x96\x96\x14https://example.org/\x86\x86"
keep("typedstream", "attachment", received + b"\x05\xef\xbf\xbcab\x86\x84\x02iI\x01\x01\x92\x84\x84\x84\x0cNSDictionary\x00\x94\x84\x01i\x01\x92\x84\x96\x96"
     + file + b"\x86\x97\x02\x02\x92\x84\x98\x99\x01\x92\x84\x96\x96" + url + b"\x86\x86")  # fmt: skip

# Blobs of a message: a body, a summary of edits, and payloads.
keep("message", "body", plain)
versions = [{"t": plain, "d": 725846400.5}, {"t": plain, "d": 725846460}]
ranges = {"0": {"lo": 0, "le": 2}}
keep("message", "summary", binary({"ec": {"0": versions}, "ep": [0], "rp": [1], "otr": ranges}))
uid = plistlib.UID
link = [
    "$null", {"richLinkMetadata": uid(2), "$class": uid(6)}, {"title": uid(3), "URL": uid(4), "$class": uid(6)}, "A title",
    {"NS.base": uid(0), "NS.relative": uid(5), "$class": uid(6)}, "https://example.org/", {"$classname": "X", "$classes": ["X"]},
]  # fmt: skip
keep("message", "link", binary({"$archiver": "NSKeyedArchiver", "$objects": link, "$top": {"root": uid(1)}, "$version": 100000}))
app = ["$null", {"NS.keys": [uid(2), uid(3)], "NS.objects": [uid(4), uid(1)]}, "ldtext", "self", "Your move"]
keep("message", "app", binary({"$archiver": "NSKeyedArchiver", "$objects": app, "$top": {"root": uid(1)}, "$version": 100000}))

# Bodies and tables of notes, by the numbers of notestore.proto of apple_cloud_notes_parser.


def field(number, value):
    def varint(value):
        most = b""
        while value >= 0x80:
            most += bytes([value & 0x7F | 0x80])
            value >>= 7
        return most + bytes([value])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def run(length, *parts, style=-1):
    line = field(1, style % 2**64) + field(4, 1) + field(5, field(1, bytes(16)) + field(2, 1)) + field(8, 1)
    return field(5, field(1, length) + field(2, line) + b"".join(parts))


place = field(12, field(1, b"T") + field(2, b"com.apple.notes.table"))
runs = run(6, field(5, 3), field(6, 1), field(7, 1), style=0) + run(3, field(9, b"https://example.org/"), style=103) + run(1, place)
text = field(2, "Title\n😀b￼\nend".encode())
keep("note", "body", field(2, field(2, 0) + field(3, text + runs)))


def ref(number):
    return field(6, number)


def pair(key, value):
    return field(1, field(1, ref(key)) + field(2, ref(value)))


def known(number):
    return field(3, field(13, field(1, 1) + field(3, field(1, 0) + field(2, field(2, number)))))


uuids = [bytes([number] * 16) for number in range(4)]


def ordered(number):
    array = field(1, field(2, field(1, 0) + field(2, uuids[number])))
    return field(3, field(16, field(1, array + field(2, pair(4 + number, 5 + number)))))


keys = [b"crRows", b"crColumns", b"cellColumns"]
root = field(3, field(13, field(1, 0) + b"".join(field(3, field(1, at) + field(2, ref(at + 1))) for at in range(3))))
objects = root + ordered(0) + ordered(2) + field(3, field(6, pair(7, 8))) + b"".join(known(number) for number in range(4))
objects += field(3, field(6, pair(5, 9))) + field(3, field(10, field(2, b"cell")))
names = b"".join(field(4, key) for key in keys) + field(5, b"com.apple.notes.ICTable") + b"".join(field(6, one) for one in uuids)
keep("note", "table", field(2, field(2, 0) + field(3, objects + names)))

with tempfile.TemporaryDirectory() as made:
    path = Path(made) / "db"
    database = sqlite3.connect(path)
    database.executescript("""PRAGMA page_size = 512; CREATE TABLE message (guid, text, date);
        CREATE TABLE chat (guid); CREATE TABLE handle (id); CREATE TABLE chat_message_join (chat_id, message_id);
        INSERT INTO message VALUES ('A', 'first', 1); PRAGMA journal_mode = WAL""")
    for row in range(3):
        database.execute("INSERT INTO message VALUES (?, 'later', 2)", [str(row)])
        database.commit()
    keep("wal", "three-transactions", Path(f"{path}-wal").read_bytes())
    database.close()
