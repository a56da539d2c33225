//! A database made from a stream: in memory if it is small, else in a private temporary file.
//!
//! A decrypted list of files names everything on a phone, so the file must not be left behind: on
//! Unix it loses its name before it receives any data. On Windows it is deleted after use, and
//! stays only if the program is killed before that.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use tempfile::{NamedTempFile, TempPath};
use zeroize::Zeroizing;

use crate::backup_format::wal::Wal;
use crate::base::plain_file;

/// Larger databases are stored in a file: a phone's list can have 1.5 GB.
const MEMORY_BYTES_MAX: u64 = 16 << 20;
/// Longest value in a row, in bytes. Records have some hundred bytes, but apps can store more in
/// theirs.
const VALUE_BYTES_MAX: i32 = 16 << 20;
/// Steps of SQLite's virtual machine between two checks of the limit below.
const STEPS: i32 = 100_000;
/// Limit of the steps: a fixed number, plus a number for each byte of the database. Reading a row
/// takes some ten steps, and a row has some hundred bytes.
const STEPS_MAX: u64 = 20_000_000;
const STEPS_PER_BYTE: u64 = 16;
/// Opens a connection without a lock of its own, which SQLite would take for each value. Rust's
/// types keep two threads from using a connection at once.
const NO_LOCKS: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
/// First bytes of a database.
pub(super) const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes of the header that say that a database has a write-ahead log. A scratch database has none,
/// and SQLite would search for it.
const WAL_MARK: std::ops::Range<usize> = 18..20;

/// An open database, and the temporary file that may hold it.
#[derive(Debug)]
pub(crate) struct Scratch {
    // Declared first, so that it is dropped before the file.
    connection: Connection,
    _file: Option<TempPath>,
}

/// Failure to open a database.
#[derive(Debug)]
pub enum Error {
    /// Reading the stream failed.
    Read(io::Error),
    /// The temporary file could not be created or written.
    Write(io::Error),
    /// The stream does not begin with the header of a database.
    NoDatabase,
    /// SQLite cannot open it.
    Sqlite(rusqlite::Error),
}

impl Scratch {
    /// Creates a database from all of `from`. `bytes` is its approximate length.
    pub(crate) fn make(from: &mut dyn Read, bytes: u64) -> Result<Scratch, Error> {
        Scratch::with_wal(from, bytes, None)
    }

    /// Creates a database from all of `from`, with the changes of its write-ahead log. `bytes` is
    /// the approximate length of the database.
    pub(crate) fn with_wal(
        from: &mut dyn Read,
        bytes: u64,
        wal: Option<Wal>,
    ) -> Result<Scratch, Error> {
        let mut head = [0; 32];
        read_head(from, &mut head)?;
        if bytes.max(wal.as_ref().map_or(0, Wal::database_bytes)) > MEMORY_BYTES_MAX {
            return Scratch::in_file(&head, from, wal);
        }
        let mut all = Zeroizing::new(Vec::with_capacity(bytes as usize + head.len()));
        all.extend(head);
        let limit = MEMORY_BYTES_MAX.saturating_sub(head.len() as u64);
        from.take(limit)
            .read_to_end(&mut all)
            .map_err(Error::Read)?;
        if let Some(mut wal) = wal {
            wal.check(all.len() as u64).map_err(Error::Read)?;
            all.resize(wal.database_bytes() as usize, 0);
            wal.apply(|at, page| {
                all[at as usize..][..page.len()].copy_from_slice(page);
                Ok(())
            })
            .map_err(Error::Read)?;
        }
        all[WAL_MARK].fill(1);
        let mut connection = Connection::open_in_memory().map_err(Error::Sqlite)?;
        let length = all.len();
        connection
            .deserialize_read_exact("main", &all[..], length, true)
            .map_err(Error::Sqlite)?;
        Scratch::bounded(connection, None)
    }

    /// Creates an empty database for writing, in a private temporary file that has no name on Unix.
    pub(super) fn empty() -> Result<Scratch, Error> {
        let (_, path) = NamedTempFile::with_prefix("idev-backup-")
            .map_err(Error::Write)?
            .into_parts();
        let connection = Connection::open(&path).map_err(Error::Sqlite)?;
        let path = if cfg!(unix) {
            path.close().map(|()| None).map_err(Error::Write)?
        } else {
            Some(path)
        };
        // The database does not outlive the program, so it need not survive a crash.
        connection
            .execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4096",
            )
            .map_err(Error::Sqlite)?;
        Ok(Scratch {
            connection,
            _file: path,
        })
    }

    fn in_file(head: &[u8], from: &mut dyn Read, wal: Option<Wal>) -> Result<Scratch, Error> {
        let mut head = head.to_vec();
        head[WAL_MARK].fill(1);
        let (mut file, path) = NamedTempFile::with_prefix("idev-backup-")
            .map_err(Error::Write)?
            .into_parts();
        // From here on SQLite holds the file open, and reads it only on request (an immutable
        // database would be measured at once). So we can remove its name before it has any data,
        // and nothing is left behind however the program ends.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | NO_LOCKS;
        let connection = Connection::open_with_flags(&path, flags).map_err(Error::Sqlite)?;
        let path = if cfg!(unix) {
            path.close().map(|()| None).map_err(Error::Write)?
        } else {
            Some(path)
        };
        file.write_all(&head).map_err(Error::Write)?;
        copy(from, &mut file)?;
        if let Some(mut wal) = wal {
            let bytes = file.stream_position().map_err(Error::Write)?;
            wal.check(bytes).map_err(Error::Read)?;
            file.set_len(wal.database_bytes()).map_err(Error::Write)?;
            wal.apply(|at, page| {
                file.seek(SeekFrom::Start(at))?;
                file.write_all(page)
            })
            .map_err(Error::Write)?;
            // The log can have changed the first page.
            file.seek(SeekFrom::Start(WAL_MARK.start as u64))
                .and_then(|_| file.write_all(&[1; 2]))
                .map_err(Error::Write)?;
        }
        Scratch::bounded(connection, path)
    }

    /// Opens an existing database in place, without writing to it or beside it.
    pub(crate) fn in_place(path: &Path) -> Result<Scratch, Error> {
        let path = std::path::absolute(path).map_err(Error::Read)?;
        let mut file = plain_file::open(&path).map_err(Error::Read)?;
        let mut head = [0; 32];
        read_head(&mut file, &mut head)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | NO_LOCKS;
        let connection = Connection::open_with_flags(uri(&path), flags).map_err(Error::Sqlite)?;
        Scratch::bounded(connection, None)
    }

    fn bounded(connection: Connection, file: Option<TempPath>) -> Result<Scratch, Error> {
        bound(&connection).map_err(Error::Sqlite)?;
        Ok(Scratch {
            connection,
            _file: file,
        })
    }

    /// Returns the connection to the database.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Counts the steps of queries from zero again, for a database that stays open for long.
    #[cfg(feature = "web")]
    pub(crate) fn renew(&self) {
        // A database without a size keeps its old limit.
        limit_steps(&self.connection).ok();
    }
}

/// Protects against a malicious database: limits memory whatever its size, disables functions in
/// its schema, limits the length of values, and stops endless tables, whose pages refer to each
/// other in a cycle.
pub(crate) fn bound(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
    limit_steps(connection)
}

/// Limits the steps of all queries together.
fn limit_steps(connection: &Connection) -> rusqlite::Result<()> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let bytes = u64::from(number("page_count")?) * u64::from(number("page_size")?);
    let worth = bytes.saturating_mul(STEPS_PER_BYTE);
    let mut left = worth.saturating_add(STEPS_MAX);
    let is_too_long = move || {
        left = left.saturating_sub(STEPS as u64);
        left == 0
    };
    connection.progress_handler(STEPS, Some(is_too_long))
}

fn read_head(from: &mut dyn Read, head: &mut [u8; 32]) -> Result<(), Error> {
    match from.read_exact(head) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(Error::NoDatabase),
        Err(e) => Err(Error::Read(e)),
        Ok(()) if head.starts_with(MAGIC) => Ok(()),
        Ok(()) => Err(Error::NoDatabase),
    }
}

fn copy(from: &mut dyn Read, to: &mut File) -> Result<(), Error> {
    let mut buffer = Zeroizing::new(vec![0; 64 << 10]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&buffer[..length]).map_err(Error::Write)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::Read(e)),
        }
    }
}

/// Returns an absolute path as a SQLite URI. The `immutable` flag keeps SQLite from creating `-wal`
/// and `-shm` files beside a sealed backup.
fn uri(path: &Path) -> String {
    #[cfg(unix)]
    let text = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    // SQLite accepts an extended path of Windows (`\\?\C:\...`) without its prefix.
    #[cfg(not(unix))]
    let slashes = path.to_string_lossy().replace('\\', "/");
    #[cfg(not(unix))]
    let text = slashes.strip_prefix("//?/").unwrap_or(&slashes).as_bytes();
    let mut uri = String::from(if text.starts_with(b"/") {
        "file://"
    } else {
        "file:///"
    });
    for &byte in text {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(byte.into())
            }
            b':' if cfg!(windows) => uri.push(':'),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}
