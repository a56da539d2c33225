//! Measures the speed of the USB protocol code alone on one core, without USB and threads: packets
//! of 64 KiB in transfers of 16 KiB are received, read and acknowledged, and data is written and
//! put into packets.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use idev_backup::transport::usb::mux::{Mux, TRANSFER_BYTES};

const TCP: u32 = 6;
const GIB: usize = 1 << 30;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A packet for our port 1 that acknowledges `ack`.
fn packet(flags: u8, ack: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = words(&[TCP, 36 + payload.len() as u32, 0xFEED_FACE, 0]);
    packet.extend(words(&[78 << 16 | 1, 1, ack]));
    packet.extend([0x50, flags, 0xFF, 0xFF, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

fn main() {
    let now = Instant::now();
    for size in [65536 - 36, 32768, 1400] {
        let mut mux = open();
        let data = packet(0x10, 1, &vec![7; size]);
        let mut buffer = vec![0; 256 << 10];
        let (mut bytes, mut acks, start) = (0, 0, Instant::now());
        while bytes < 8 * GIB {
            for part in data.chunks(TRANSFER_BYTES) {
                mux.receive(black_box(part)).unwrap();
            }
            bytes += mux.read(now, 1, &mut buffer).unwrap();
            while let Some(ack) = mux.output() {
                acks += black_box(ack).len() / 36;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let per_mib = acks as f64 / (bytes >> 20) as f64;
        println!(
            "in, {size} bytes a packet: {:.2} GB/s, {per_mib:.0} acknowledgements per MiB",
            bytes as f64 / 1e9 / seconds
        );
    }
    let mut mux = open();
    let data = vec![7; 32 << 10];
    let (mut bytes, mut ack, start) = (0, 1u32, Instant::now());
    while bytes < 8 * GIB {
        let count = mux.write(1, black_box(&data)).unwrap();
        black_box(mux.output().unwrap());
        bytes += count;
        ack = ack.wrapping_add(count as u32);
        mux.receive(&packet(0x10, ack, &[])).unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "out, 32 KiB a packet: {:.2} GB/s",
        bytes as f64 / 1e9 / seconds
    );
}

/// A phone that has told its version, and a connection to it.
fn open() -> Mux {
    let mut mux = Mux::new();
    mux.receive(&words(&[0, 20, 2, 0, 0])).unwrap();
    assert_eq!(mux.connect(78).unwrap(), Some(1));
    mux.receive(&packet(0x12, 1, &[])).unwrap();
    while mux.output().is_some() {}
    mux
}
