"""Opens an encrypted backup with one of the judges, and prints the fileID of each file and the
SHA-256 of its decrypted content.

    PASSWORD=... open_encrypted.py iphone_backup_decrypt|pyiosbackup BACKUP

Runs in the judges' virtual environment.
"""

import hashlib
import os
import sys


def iphone_backup_decrypt(folder, password):
    from iphone_backup_decrypt import EncryptedBackup

    backup = EncryptedBackup(backup_directory=folder, passphrase=password)
    backup.test_decryption()
    with backup.manifest_db_cursor() as cursor:
        rows = cursor.execute("SELECT fileID, file FROM Files WHERE flags = 1").fetchall()
    for file_id, record in rows:
        # According to the library, a record without a key is a folder or an empty file.
        if b"EncryptionKey" in record:
            yield file_id, backup._decrypt_inner_file(file_id=file_id, file_bplist=record)


def pyiosbackup(folder, password):
    from pyiosbackup import Backup

    for file in Backup.from_path(folder, password).iter_files():
        # The library expects a key and padding in every file; empty files of phones have neither.
        if file.size > 0:
            yield file.file_id, file.read_bytes()


if __name__ == "__main__":
    library, folder = sys.argv[1:]
    for file_id, content in globals()[library](folder, os.environ["PASSWORD"]):
        print(file_id, hashlib.sha256(content).hexdigest())
