"""Opens a backup with pyiosbackup, reads every file in it, and prints the number of files. Runs in
the judges' virtual environment.
"""

import sys

from pyiosbackup import Backup

files = list(Backup.from_path(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "").iter_files())
for file in files:
    content = file.read_bytes()
    if len(content) != file.size:
        sys.exit(f"{file.domain}/{file.relative_path}: {len(content)} bytes, expected {file.size}")
print(len(files), "files")
