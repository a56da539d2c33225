//! Faults that can be injected into a simulated phone.

use std::fmt;
use std::str::FromStr;

/// A fault of the phone. The text form is that of `simulate --fault`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `cut-after:BYTES`: the backup's connection ends after this many bytes from the phone.
    CutAfter(u64),
    /// `cut-at:INDEX`: the connection ends instead of the phone's message of this index (0 is the
    /// version exchange).
    CutAt(u64),
    /// `cut-after-taken:BYTES`: the connection ends after this many bytes from the computer.
    CutAfterTaken(u64),
    /// `stall-after:BYTES`: the phone falls silent after this many bytes.
    StallAfter(u64),
    /// `stall-at:INDEX`: the phone falls silent instead of sending this message.
    StallAt(u64),
    /// `refuse:SERVICE`: lockdown does not start this service.
    Refuse(String),
    /// `name:TEXT`: the first upload goes to this path on the computer. Supports the escapes `\0`,
    /// `\n`, `\r`, `\t` and `\\`.
    Name(String),
    /// `length:N`: the first upload's path has this length prefix.
    NameLength(u32),
    /// `frame-length:N`: the first upload's data frame has this length prefix.
    FrameLength(u32),
    /// `message-length:N`: the first request has this length prefix.
    MessageLength(u32),
    /// `deep-plist:N`: the first request is nested N levels deep.
    DeepPlist(u32),
    /// `laughs`: the first request expands exponentially ("billion laughs").
    Laughs,
    /// `unknown-message:NAME`: a message unknown to every computer comes first.
    UnknownMessage(String),
    /// `disorder`: the phone sends an upload instead of the answer to Hello.
    Disorder,
    /// `device-error:N`: the phone cannot read every N-th file to its end, and reports 104.
    DeviceError(u64),
    /// `file-provider`: FileProvider's `backup_manifest.db` cannot be read, which is harmless
    /// (always so on iOS 17).
    FileProvider,
    /// `error:CODE`: the phone answers with this MBErrorDomain code instead of a backup.
    Error(u64),
    /// `missing-file`: the phone silently omits one file of the manifest.
    MissingFile,
    /// `short-file`: the phone silently omits the second half of one file that has no digest in the
    /// manifest.
    ShortFile,
    /// `bad-manifest`: Manifest.db contains garbage.
    BadManifest,
    /// `key-rounds:N`: the key bag of an encrypted backup claims N rounds of key derivation.
    KeyRounds(u32),
    /// `no-manifest-key`: Manifest.plist of an encrypted backup lacks the key of Manifest.db.
    NoManifestKey,
    /// `keyless-file`: the record of one encrypted file lacks its key.
    KeylessFile,
    /// `no-final-response`: the phone sends no final response after everything is done.
    NoFinalResponse,
    /// `claim-size:BYTES`: the phone announces this many bytes to send.
    ClaimSize(u64),
    /// `asks-for:PATH`: a restore requests this path on the computer before the files of the
    /// backup. Supports the escapes `\0`, `\n`, `\r`, `\t` and `\\`.
    AsksFor(String),
    /// `asks-for-only:N`: a restore requests only the first N files of the list, and claims to have
    /// everything.
    AsksForOnly(u64),
    /// `refuses-writes:STATUS`: AFC opens files for writing, and answers each write with this
    /// status.
    RefusesWrites(u64),
    /// `meddles`: a restore renames, removes and writes files in the backup's folder.
    Meddles,
    /// `times:N`: the other faults occur in the first N backups and restores only.
    Times(u32),
}

/// Error: a text does not name a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAFault(String);

impl fmt::Display for NotAFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no fault that the phone can have", self.0)
    }
}

impl std::error::Error for NotAFault {}

impl FromStr for Fault {
    type Err = NotAFault;

    fn from_str(spec: &str) -> Result<Self, NotAFault> {
        fn number<N: FromStr>(text: &str, spec: &str) -> Result<N, NotAFault> {
            text.parse().map_err(|_| NotAFault(spec.to_owned()))
        }
        let (name, value) = spec.split_once(':').unwrap_or((spec, ""));
        Ok(match name {
            "cut-after" => Fault::CutAfter(number(value, spec)?),
            "cut-at" => Fault::CutAt(number(value, spec)?),
            "cut-after-taken" => Fault::CutAfterTaken(number(value, spec)?),
            "stall-after" => Fault::StallAfter(number(value, spec)?),
            "stall-at" => Fault::StallAt(number(value, spec)?),
            "refuse" => Fault::Refuse(value.to_owned()),
            "name" => Fault::Name(unescape(value)),
            "length" => Fault::NameLength(number(value, spec)?),
            "frame-length" => Fault::FrameLength(number(value, spec)?),
            "message-length" => Fault::MessageLength(number(value, spec)?),
            "deep-plist" => Fault::DeepPlist(number(value, spec)?),
            "laughs" => Fault::Laughs,
            "unknown-message" => Fault::UnknownMessage(value.to_owned()),
            "disorder" => Fault::Disorder,
            "device-error" => Fault::DeviceError(number(value, spec)?),
            "file-provider" => Fault::FileProvider,
            "error" => Fault::Error(number(value, spec)?),
            "missing-file" => Fault::MissingFile,
            "short-file" => Fault::ShortFile,
            "bad-manifest" => Fault::BadManifest,
            "key-rounds" => Fault::KeyRounds(number(value, spec)?),
            "no-manifest-key" => Fault::NoManifestKey,
            "keyless-file" => Fault::KeylessFile,
            "no-final-response" => Fault::NoFinalResponse,
            "claim-size" => Fault::ClaimSize(number(value, spec)?),
            "asks-for" => Fault::AsksFor(unescape(value)),
            "asks-for-only" => Fault::AsksForOnly(number(value, spec)?),
            "refuses-writes" => Fault::RefusesWrites(number(value, spec)?),
            "meddles" => Fault::Meddles,
            "times" => Fault::Times(number(value, spec)?),
            _ => return Err(NotAFault(spec.to_owned())),
        })
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (letter, false) => plain.push(letter),
            (_, true) => match letters.next() {
                Some('0') => plain.push('\0'),
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some('t') => plain.push('\t'),
                Some('\\') => plain.push('\\'),
                // A path such as `C:\x` stays as it is.
                other => {
                    plain.push('\\');
                    plain.extend(other);
                }
            },
        }
    }
    plain
}

/// Returns the faults of the backup that begins: all, or none after the configured number of times.
pub(super) fn of_backup(faults: &[Fault], number: u32) -> Vec<Fault> {
    let over = |f: &Fault| matches!(f, Fault::Times(times) if number > *times);
    if faults.iter().any(over) {
        Vec::new()
    } else {
        faults.to_vec()
    }
}

/// Returns a binary property list of `depth` nested arrays. Each array holds the next one `fan`
/// times.
pub(super) fn nested(depth: u32, fan: u8) -> Vec<u8> {
    let mut bytes = b"bplist00".to_vec();
    let mut offsets = Vec::new();
    for level in 1..=depth {
        offsets.push(bytes.len() as u64);
        bytes.push(0xa0 | (fan & 15));
        for _ in 0..fan & 15 {
            bytes.extend(level.to_be_bytes());
        }
    }
    offsets.push(bytes.len() as u64);
    bytes.push(0x09);
    let table = bytes.len() as u64;
    for offset in &offsets {
        bytes.extend(offset.to_be_bytes());
    }
    bytes.extend([0, 0, 0, 0, 0, 0, 8, 4]);
    for word in [offsets.len() as u64, 0, table] {
        bytes.extend(word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_specs_are_parsed() {
        for (spec, fault) in [
            ("cut-after:100", Fault::CutAfter(100)),
            ("name:a\\0b", Fault::Name("a\0b".into())),
            ("name:C:\\x", Fault::Name("C:\\x".into())),
            (
                "name:../../etc/passwd",
                Fault::Name("../../etc/passwd".into()),
            ),
            ("length:4294967295", Fault::NameLength(u32::MAX)),
            (
                "refuse:com.apple.afc",
                Fault::Refuse("com.apple.afc".into()),
            ),
            ("laughs", Fault::Laughs),
            ("cut-after-taken:7", Fault::CutAfterTaken(7)),
            ("asks-for:a\\nb", Fault::AsksFor("a\nb".into())),
            ("asks-for-only:3", Fault::AsksForOnly(3)),
            ("refuses-writes:18", Fault::RefusesWrites(18)),
            ("meddles", Fault::Meddles),
        ] {
            assert_eq!(spec.parse(), Ok(fault));
        }
        for spec in [
            "",
            "cut-after",
            "cut-after:x",
            "nonsense",
            "length:4294967296",
        ] {
            assert!(spec.parse::<Fault>().is_err(), "{spec}");
        }
    }

    #[test]
    fn nested_plists_exceed_our_limits() {
        assert!(plist::from_bytes::<plist::Value>(&nested(3, 1)).is_ok());
        assert!(crate::base::bounded_plist::parse(&nested(40, 10)).is_err());
        assert!(crate::base::bounded_plist::parse(&nested(5000, 1)).is_err());
    }
}
