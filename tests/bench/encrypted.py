#!/usr/bin/env python3
"""Makes an encrypted backup of random files for benchmarks.

    python3 encrypted.py DIR FILES BYTES [DPIC]

Prints one line for each file, with which openssl can decrypt it: <its path> <its key in hex digits>
<its name>. Needs `cryptography`. The password is "password". The names resemble those of a phone;
all files have the same size. With a small DPIC, opening the key bag, which takes every program some
seconds, does not count in measurements.
"""

import hashlib
import os
import plistlib
import sqlite3
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

SCHEMA = """
CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
CREATE INDEX FilesDomainIdx ON Files(domain);
CREATE INDEX FilesRelativePathIdx ON Files(relativePath);
CREATE INDEX FilesFlagsIdx ON Files(flags);
CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);
"""
CLASS = 3


def field(tag, value):
    value = struct.pack(">L", value) if isinstance(value, int) else value
    return tag.encode() + struct.pack(">L", len(value)) + value


def padded(data):
    fill = 16 - len(data) % 16
    return data + bytes([fill]) * fill


def encrypt(key, data):
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return encryptor.update(padded(data)) + encryptor.finalize()


def record(path, size, key):
    uid = plistlib.UID
    fields = {
        "$class": uid(5), "RelativePath": uid(2), "EncryptionKey": uid(3), "Flags": 0, "Size": size, "Mode": 0o100644,
        "LastModified": 1_700_000_000, "LastStatusChange": 1_700_000_000, "Birth": 1_700_000_000, "InodeNumber": 1,
        "UserID": 501, "GroupID": 501, "ProtectionClass": CLASS,
    }  # fmt: skip
    objects = [
        "$null", fields, path, {"$class": uid(4), "NS.data": key},
        {"$classname": "NSMutableData", "$classes": ["NSMutableData", "NSData", "NSObject"]},
        {"$classname": "MBFile", "$classes": ["MBFile", "NSObject"]},
    ]  # fmt: skip
    archive = {"$version": 100000, "$archiver": "NSKeyedArchiver", "$top": {"root": uid(1)}, "$objects": objects}
    return plistlib.dumps(archive, fmt=plistlib.FMT_BINARY)


class Keys:
    """The key bag of a backup, its class key, and keys of files that are wrapped with it."""

    def __init__(self, rounds):
        salt, first_salt, self.class_key = os.urandom(20), os.urandom(20), os.urandom(32)
        password = hashlib.pbkdf2_hmac("sha256", b"password", first_salt, rounds)
        password = hashlib.pbkdf2_hmac("sha1", password, salt, 10_000, 32)
        self.bag = b"".join([
            field("VERS", 4), field("TYPE", 1), field("UUID", os.urandom(16)), field("HMCK", bytes(40)), field("WRAP", 0),
            field("SALT", salt), field("ITER", 10_000), field("DPWT", 1), field("DPIC", rounds), field("DPSL", first_salt),
            field("UUID", os.urandom(16)), field("CLAS", CLASS), field("WRAP", 2), field("KTYP", 0),
            field("WPKY", aes_key_wrap(password, self.class_key)),
        ])  # fmt: skip

    def wrapped(self, key):
        return struct.pack("<L", CLASS) + aes_key_wrap(self.class_key, key)


def finish(folder, plain, keys):
    """Encrypts the list of files, and writes the property lists of the backup."""
    key = os.urandom(32)
    folder.joinpath("Manifest.db").write_bytes(encrypt(key, plain.read_bytes()))
    plain.unlink()
    # Without a version of iOS no phone would accept the backup, and `verify` would report that.
    lockdown = {"ProductVersion": "18.6.2"}
    manifest = {"IsEncrypted": True, "BackupKeyBag": keys.bag, "ManifestKey": keys.wrapped(key), "Version": "10.0", "Lockdown": lockdown}
    folder.joinpath("Manifest.plist").write_bytes(plistlib.dumps(manifest, fmt=plistlib.FMT_BINARY))
    folder.joinpath("Status.plist").write_bytes(plistlib.dumps({"SnapshotState": "finished"}))
    folder.joinpath("Info.plist").write_bytes(plistlib.dumps({"Device Name": "measured"}))


def main(folder, files, size, rounds):
    folder.mkdir(parents=True)
    keys = Keys(rounds)
    plain = folder / "plain.db"
    database = sqlite3.connect(plain)
    database.executescript(SCHEMA)
    for number in range(files):
        domain, path = "CameraRollDomain", f"Media/DCIM/{100 + number // 1000}APPLE/IMG_{number:06}.HEIC"
        name = hashlib.sha1(f"{domain}-{path}".encode()).hexdigest()
        key = os.urandom(32)
        place = folder / name[:2]
        place.mkdir(exist_ok=True)
        place.joinpath(name).write_bytes(encrypt(key, os.urandom(size)))
        row = (name, domain, path, 1, record(path, size, keys.wrapped(key)))
        database.execute("INSERT INTO Files VALUES (?, ?, ?, ?, ?)", row)
        print(f"{name[:2]}/{name}", key.hex(), Path(path).name)
    database.commit()
    database.close()
    finish(folder, plain, keys)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 1000)
