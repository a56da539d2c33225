//! Reports which photos `export` wrote.

use idev_backup::base::units::{count, counted, size};
use idev_backup::export::photos::Report;

use super::exported;
use super::extract::{problems, renamed, there};
use crate::cli::render::output;

/// Reports the exported photos and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.problems.count == 0 && report.damage.count == 0 && report.complete;
    exported::tell("exported", report, (is_good, &report.unread), style, text)
}

fn text(report: &Report) -> Vec<String> {
    let photos = match report.photos {
        1 => "1 photo or video".to_owned(),
        many => format!("{} photos and videos", count(many)),
    };
    // A repeated export writes no files, since all are there.
    let amount = match report.files {
        0 => photos,
        files => format!(
            "{photos} in {}, {},",
            counted(files, "file"),
            size(report.bytes)
        ),
    };
    let mut lines = vec![match (report.dry_run, report.complete) {
        (true, _) => format!("Would export {amount} into {}.", report.to),
        (false, true) => format!("Exported {amount} into {}.", report.to),
        (false, false) => format!(
            "STOPPED. Exported {} of {} into {}.",
            counted(report.files, "file"),
            count(report.chosen),
            report.to
        ),
    }];
    if report.only_in_icloud > 0 {
        lines.push(format!(
            "  {} more {} only in iCloud: the phone had no file of {} that a backup could hold.",
            count(report.only_in_icloud),
            if report.only_in_icloud == 1 {
                "is"
            } else {
                "are"
            },
            if report.only_in_icloud == 1 {
                "it"
            } else {
                "them"
            },
        ));
    }
    if !report.has_library {
        lines.push(
            "  The phone's Photos library is not in the backup or cannot be read: names and dates \
            are those of the files, and deleted and hidden photos are among the others."
                .to_owned(),
        );
    }
    for (left_out, word, option) in [
        (report.deleted_left_out, "recently deleted", "--deleted"),
        (report.hidden_left_out, "hidden", "--hidden"),
    ] {
        if left_out > 0 {
            let photos = counted(left_out, &format!("{word} photo"));
            lines.push(format!("  Left out: {photos}; {option} exports them too."));
        }
    }
    lines.extend(library(report));
    for why in &report.damage.first {
        lines.push(format!("  {}.", output::one_line(why)));
    }
    lines.extend(there(report.there));
    lines.extend(problems(&report.problems));
    lines.extend(renamed(&report.renamed));
    lines
}

/// Describes the phone's library in up to two lines.
fn library(report: &Report) -> Vec<String> {
    let of = &report.library;
    let kinds: Vec<String> = [
        (of.favorites, "favorite"),
        (of.edited, "edited photo"),
        (of.live, "Live Photo"),
        (of.bursts, "burst"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, name)| counted(number, name))
    .collect();
    let mut lines = Vec::new();
    if !kinds.is_empty() {
        lines.push(format!("  In the library: {}.", kinds.join(", ")));
    }
    if of.albums > 0 {
        let albums = counted(of.albums, "album");
        let photos = counted(of.in_albums, "photo");
        lines.push(match of.album_files {
            0 => format!("  {albums} with {photos}; --albums links or folders writes them."),
            files => format!("  {albums} with {photos}: {}.", counted(files, "file")),
        });
    }
    lines
}
