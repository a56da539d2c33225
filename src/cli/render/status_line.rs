//! Composes the line that shows how far a job is, for terminals of any width.

use std::time::Duration;

use console::measure_text_width;
use idev_backup::base::pace::{amount_of, left_words};
use idev_backup::base::units::{counted, size};

/// Progress of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// Percentage of the work, if it is known.
    pub percent: Option<f64>,
    /// Number of bytes that were moved; `None` if the job does not move bytes.
    pub bytes: Option<u64>,
    /// Number of bytes that are expected in all.
    pub bytes_total: Option<u64>,
    /// Bytes per second.
    pub rate: Option<u64>,
    pub files: Option<u64>,
    pub left: Option<Duration>,
}

/// Space between two parts.
const GAP: usize = 2;

impl Status {
    /// Returns all parts as one line.
    pub fn whole(&self) -> String {
        self.fitting(usize::MAX)
    }

    /// Returns the most important parts that fit into this number of columns. No part is cut.
    pub fn fitting(&self, columns: usize) -> String {
        let percent = self.percent.map(|percent| format!("{percent:.0} %"));
        let done = self.bytes.map(size);
        let of_total = self.bytes.zip(self.bytes_total);
        let of_total = of_total.map(|(bytes, total)| amount_of(bytes, total));
        let rate = self.rate.map(|rate| format!("{}/s", size(rate)));
        let files = self.files.map(|files| counted(files, "file"));
        let left = self.left.map(left_words);
        // The parts in their order on the line, each with its forms from the longest on. Rank 0 is
        // the most important part.
        let parts = [
            (0, vec![percent]),
            (2, vec![of_total.or(done.clone()), done]),
            (3, vec![rate]),
            (4, vec![files]),
            (1, vec![left]),
        ];
        let mut shown: Vec<Option<String>> = vec![None; parts.len()];
        let mut used = 0;
        for rank in 0..parts.len() {
            let Some(at) = parts.iter().position(|(of, _)| *of == rank) else {
                continue;
            };
            let gap = if used == 0 { 0 } else { GAP };
            let fits = |form: &&String| used + gap + measure_text_width(form) <= columns;
            let form = parts[at].1.iter().flatten().find(fits);
            if let Some(form) = form {
                used += gap + measure_text_width(form);
                shown[at] = Some(form.clone());
            }
        }
        shown.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }
}

/// Returns text for a column of limited width, cut with an ellipsis if it is longer.
pub fn shortened(text: &str, columns: usize) -> String {
    console::truncate_str(text, columns, "..").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiving() -> Status {
        Status {
            percent: Some(64.4),
            bytes: Some(1_900_000_000),
            bytes_total: Some(3_000_000_000),
            rate: Some(212_000_000),
            files: Some(1204),
            left: Some(Duration::from_secs(5)),
        }
    }

    #[test]
    fn narrow_lines_drop_whole_parts() {
        for (columns, line) in [
            (
                80,
                "64 %  1.9 of 3.0 GB  212.0 MB/s  1,204 files  0:05 left",
            ),
            (
                55,
                "64 %  1.9 of 3.0 GB  212.0 MB/s  1,204 files  0:05 left",
            ),
            (54, "64 %  1.9 of 3.0 GB  212.0 MB/s  0:05 left"),
            (40, "64 %  1.9 of 3.0 GB  0:05 left"),
            (28, "64 %  1.9 GB  0:05 left"),
            (16, "64 %  0:05 left"),
            (10, "64 %"),
            (2, ""),
        ] {
            let shown = receiving().fitting(columns);
            assert_eq!(shown, line, "{columns}");
            assert!(shown.chars().count() <= columns);
        }
    }

    #[test]
    fn unknown_parts_are_left_out() {
        let status = Status {
            files: Some(7),
            ..Status::default()
        };
        assert_eq!(status.whole(), "7 files");
        let status = Status {
            bytes: Some(880_000_000),
            bytes_total: Some(3_000_000_000),
            ..Status::default()
        };
        assert_eq!(status.whole(), "880.0 MB of 3.0 GB");
        assert_eq!(Status::default().whole(), "");
    }

    #[test]
    fn long_names_are_shortened() {
        assert_eq!(shortened("Mira's iPhone", 20), "Mira's iPhone");
        assert_eq!(shortened("Mira's old iPhone", 10), "Mira's o..");
        assert_eq!(shortened("写真写真", 6), "写真..");
    }
}
