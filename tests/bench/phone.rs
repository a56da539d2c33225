//! Measures the speed at which the simulated phone sends to a computer that discards everything,
//! with TLS and with both in this process.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

use std::io::Read;
use std::time::Instant;

use idev_backup::simulator::{Content, Daemon, Phone, PhoneConfig, Wifi, WifiConfig};
use plist::Value;
use support::{Computer, Stream, answer, begin_backup, device_ids, hear};

fn main() {
    let large = Content {
        small: 0,
        bulk: 40,
        bulk_size: 100 << 20,
        ..Content::default()
    };
    let small = Content {
        small: 60_000,
        bulk: 0,
        ..Content::default()
    };
    let mut loads = vec![
        ("40 files of 100 MiB".to_owned(), large),
        ("60,000 files of 2-20 KiB".to_owned(), small),
    ];
    // `-- N` measures N files of at most 100 bytes instead: what a file costs the phone.
    if let Some(files) = std::env::args().find_map(|a| a.parse::<u32>().ok()) {
        let many = Content {
            small: files,
            small_size: 1..=100,
            bulk: 0,
            ..Content::default()
        };
        loads = vec![(format!("{files} tiny files"), many)];
    }
    for (what, content) in loads {
        for (way, listen) in ways() {
            let config = PhoneConfig {
                content: content.clone(),
                ..PhoneConfig::default()
            };
            let phone = Phone::new(config);
            let daemon = Daemon::start(&listen, vec![phone.clone()]).unwrap();
            let id = device_ids(daemon.address())[0];
            let mut computer = Computer::pair(daemon.address(), id);
            let config = WifiConfig {
                on: true,
                heartbeat_first: false,
                ..WifiConfig::default()
            };
            let wifi = Wifi::join(&phone, config).unwrap();
            if way == WIFI {
                computer = computer.on_wifi(wifi.addresses()[0]);
            }
            let udid = phone.udid().as_str();
            let start = Instant::now();
            let stream = begin_backup(&computer, udid, true).unwrap();
            let (files, bytes, seconds) = discard(stream);
            println!(
                "{what} over {way}: {:.0} MB/s, {:.0} files/s while receiving ({seconds:.2} s); {:.2} s in all",
                bytes as f64 / 1e6 / seconds,
                files as f64 / seconds,
                start.elapsed().as_secs_f64(),
            );
        }
    }
}

/// Name of the way without a daemon.
const WIFI: &str = "Wi-Fi";

/// Returns the ways to the phone, and the address on which its daemon listens.
fn ways() -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("TCP", "127.0.0.1:0".to_owned()),
        (WIFI, "127.0.0.1:0".to_owned()),
    ];
    if cfg!(unix) {
        let path = std::env::temp_dir().join(format!("phone-bench-{}.sock", std::process::id()));
        all.push(("a Unix socket", format!("UNIX:{}", path.display())));
    }
    all
}

/// Answers everything with success until the manifests come; returns files, bytes and seconds of
/// the uploads.
fn discard(mut stream: Stream) -> (u64, u64, f64) {
    let empty = || Value::Dictionary(plist::Dictionary::new());
    let (mut files, mut bytes) = (0, 0);
    let mut begun: Option<Instant> = None;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let message = hear(&mut stream).unwrap();
        match message[0].as_string().unwrap() {
            "DLMessageDownloadFiles" => {
                let path = message[1].as_array().unwrap()[0].as_string().unwrap();
                let text = b"No such file or directory";
                let mut raw = (path.len() as u32).to_be_bytes().to_vec();
                raw.extend(path.as_bytes());
                raw.extend((text.len() as u32 + 1).to_be_bytes());
                raw.push(6);
                raw.extend(text);
                raw.extend([0; 4]);
                stream.write_all(&raw).unwrap();
                let mut error = plist::Dictionary::new();
                error.insert("DLFileErrorCode".into(), Value::from(-6i64));
                error.insert(
                    "DLFileErrorString".into(),
                    "No such file or directory".into(),
                );
                let mut errors = plist::Dictionary::new();
                errors.insert(path.to_owned(), Value::Dictionary(error));
                answer(&mut stream, -13, "Multi status", Value::Dictionary(errors)).unwrap();
            }
            "DLMessageGetFreeDiskSpace" => {
                answer(&mut stream, 0, "", Value::from(1u64 << 50)).unwrap();
            }
            "DLMessageUploadFiles" => {
                let begun = begun.get_or_insert_with(Instant::now);
                let (count, size, last) = swallow(&mut stream, &mut buffer);
                answer(&mut stream, 0, "", empty()).unwrap();
                let seconds = begun.elapsed().as_secs_f64();
                if last {
                    return (files, bytes, seconds);
                }
                files += count;
                bytes += size;
            }
            "DLMessageProcessMessage" => panic!("{message:?}"),
            _ => answer(&mut stream, 0, "", empty()).unwrap(),
        }
    }
}

/// Reads the files of one upload; true if they were the manifests.
fn swallow(stream: &mut Stream, buffer: &mut Vec<u8>) -> (u64, u64, bool) {
    let (mut files, mut bytes, mut last) = (0, 0, false);
    let mut stream = std::io::BufReader::with_capacity(64 << 10, stream);
    let mut word = [0; 4];
    let mut number = |stream: &mut std::io::BufReader<&mut Stream>| {
        stream.read_exact(&mut word).unwrap();
        u32::from_be_bytes(word) as usize
    };
    loop {
        let length = number(&mut stream);
        if length == 0 {
            return (files, bytes, last);
        }
        buffer.resize(length.max(buffer.len()), 0);
        stream.read_exact(&mut buffer[..length]).unwrap();
        let length = number(&mut stream);
        stream.read_exact(&mut buffer[..length]).unwrap();
        last |= buffer[..length].ends_with(b"Manifest.db");
        files += 1;
        loop {
            let length = number(&mut stream);
            stream.read_exact(&mut buffer[..length]).unwrap();
            match buffer[0] {
                0x0c => bytes += length as u64 - 1,
                _ => break,
            }
        }
    }
}
