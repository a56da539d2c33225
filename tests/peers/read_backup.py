"""Reads a backup folder without any of the program's code, and prints a JSON object for each row
that a phone must receive.

    [PASSWORD=...] read_backup.py BACKUP

Reads plain backups with sqlite3, plistlib and hashlib, and encrypted ones with
iphone_backup_decrypt. Runs in the judges' virtual environment.
"""

import hashlib
import json
import os
import plistlib
import sqlite3
import sys
from pathlib import Path

KINDS = {1: "file", 2: "folder", 4: "link"}


def fields(archive):
    """Returns the record of a file: the fields of its archive's root, with references resolved."""
    plist = plistlib.loads(archive)
    objects = plist["$objects"]
    root = objects[plist["$top"]["root"].data]
    return {key: objects[value.data] if isinstance(value, plistlib.UID) else value for key, value in root.items()}


def show(rows, content):
    for file_id, domain, path, flags, archive in rows:
        record = fields(archive)
        row = {"fileID": file_id, "domain": domain, "relativePath": path, "kind": KINDS[flags]}
        row |= {"mode": record["Mode"], "modified": record["LastModified"], "target": record.get("Target")}
        if flags == 1:
            data = content(file_id, archive)
            row |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        print(json.dumps(row))


def main():
    folder = Path(sys.argv[1])
    query = "SELECT fileID, domain, relativePath, flags, file FROM Files"

    def stored(file_id):
        return (folder / file_id[:2] / file_id).read_bytes()

    if "PASSWORD" not in os.environ:
        database = sqlite3.connect(f"{(folder / 'Manifest.db').resolve().as_uri()}?immutable=1", uri=True)
        show(database.execute(query), lambda file_id, _: stored(file_id))
        return
    from iphone_backup_decrypt import EncryptedBackup

    backup = EncryptedBackup(backup_directory=str(folder), passphrase=os.environ["PASSWORD"])
    with backup.manifest_db_cursor() as cursor:
        rows = cursor.execute(query).fetchall()

    def decrypted(file_id, archive):
        # A record without a key belongs to an empty file.
        if b"EncryptionKey" not in archive:
            return stored(file_id)
        return backup._decrypt_inner_file(file_id=file_id, file_bplist=archive)

    show(rows, decrypted)


if __name__ == "__main__":
    main()
