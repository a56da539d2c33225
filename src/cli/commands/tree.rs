//! `idev-backup tree`

use clap::Args;
use idev_backup::base::units::{counted, size};
use idev_backup::reader::browse::{self, Branch, DEPTH_MAX};

use crate::cli::args::reading::{ReadArgs, domain_and_path};
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Lines};
use crate::cli::render::unread::tell_unread;

/// Draw the folders of a backup as a tree, with the number and size of their files
///
/// Example:  idev-backup tree latest CameraRollDomain --depth 2
#[derive(Args)]
pub struct Tree {
    #[command(flatten)]
    read: ReadArgs,
    /// A domain, or a folder in it [default: all domains]
    #[arg(value_name = "DOMAIN[/PATH]")]
    place: Option<String>,
    /// Draw N levels; the sums of a folder include everything deeper
    #[arg(long, value_name = "N", default_value_t = DEPTH_MAX, hide_default_value = true, value_parser = depth)]
    depth: u16,
}

/// Parses a number of levels.
fn depth(text: &str) -> Result<u16, String> {
    let depth = text.parse().ok().filter(|depth| *depth <= DEPTH_MAX);
    depth.ok_or_else(|| format!("expected a whole number from 0 to {DEPTH_MAX}"))
}

impl Tree {
    /// Uses the current backup if the first word is a folder instead of a backup's name.
    pub fn settle(&mut self) {
        if self.place.is_none() {
            self.place = self.read.take_word(&[]);
        }
    }

    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.drawn()
            .unwrap_or_else(|e| output::failure(&e, None, false))
    }

    fn drawn(&self) -> Result<u8, Failure> {
        let (domain, path) = match &self.place {
            Some(place) => domain_and_path(place),
            None => ("", ""),
        };
        let domain = self.place.as_ref().map(|_| domain);
        let opened = self.read.open()?;
        let pen = if output::speaks_utf8() { LINES } else { PLAIN };
        let mut lines = Lines::new();
        browse::tree(&opened, domain, path, self.depth, |tree| {
            let mut goes_on = true;
            tree.each(|branch| {
                goes_on = lines.line(&drawn(&branch, &pen));
                goes_on
            });
            goes_on
        })?;
        let code = lines.end(exit::DONE);
        Ok(tell_unread(&opened.unread(), code))
    }
}

/// Characters that draw the tree: a line past, a gap, a branch and the last branch.
struct Pen {
    past: &'static str,
    gap: &'static str,
    branch: &'static str,
    last: &'static str,
}

const LINES: Pen = Pen {
    past: "│   ",
    gap: "    ",
    branch: "├── ",
    last: "└── ",
};
const PLAIN: Pen = Pen {
    past: "|   ",
    gap: "    ",
    branch: "|-- ",
    last: "`-- ",
};

fn drawn(branch: &Branch, pen: &Pen) -> String {
    let mut line = String::new();
    if let Some((is_last, above)) = branch.lasts.split_last() {
        for is_last in above {
            line.push_str(if *is_last { pen.gap } else { pen.past });
        }
        line.push_str(if *is_last { pen.last } else { pen.branch });
    }
    line.push_str(branch.name);
    let sum = branch.sum;
    match (branch.is_folder, sum.files) {
        (true, 0) => line.push('/'),
        (true, files) => line.push_str(&format!(
            "/  ({}, {})",
            counted(files, "file"),
            size(sum.bytes)
        )),
        (false, 0) => {}
        (false, _) => line.push_str(&format!("  ({})", size(sum.bytes))),
    }
    line
}
