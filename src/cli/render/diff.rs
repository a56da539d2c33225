//! Shows the differences between two backups.

use idev_backup::base::time;
use idev_backup::base::units::{count, counted, size};
use idev_backup::reader::diff::{self, Amount, Change, Difference, Report, Side};

use crate::cli::render::output;

/// Differences to show, sorted by name.
pub struct Shown {
    all: bool,
    /// The first differences by name, or all of them.
    held: Vec<Difference>,
    more: u64,
    /// True if there are too many to sort, so that they are printed as they come.
    is_unsorted: bool,
}

impl Shown {
    /// Creates an empty list. `all` differences are shown, or only the first.
    pub fn new(all: bool) -> Shown {
        Shown {
            all,
            held: Vec::new(),
            more: 0,
            is_unsorted: false,
        }
    }

    /// Adds a difference.
    pub fn add(&mut self, difference: Difference) {
        if self.is_unsorted {
            return output::data(&line(&difference));
        }
        self.held.push(difference);
        match self.all {
            true if self.held.len() > SORTED_MAX => {
                output::tell("there are too many differences to sort them");
                self.is_unsorted = true;
                let held = std::mem::take(&mut self.held);
                held.iter().for_each(|one| output::data(&line(one)));
            }
            false if self.held.len() >= 2 * SHOWN_MAX => self.keep_the_first(),
            _ => {}
        }
    }

    fn keep_the_first(&mut self) {
        self.sort();
        let length = self.held.len();
        self.held.truncate(SHOWN_MAX);
        self.more += (length - self.held.len()) as u64;
    }

    fn sort(&mut self) {
        let key = |one: &Difference| (one.domain.clone(), one.relative_path.clone());
        self.held.sort_by_cached_key(key);
    }

    /// Prints the lines of `text`, then the differences.
    pub fn tell(mut self, text: &[String]) {
        if self.all {
            self.sort()
        } else {
            self.keep_the_first()
        }
        text.iter().for_each(|line| output::line(line));
        self.held.iter().for_each(|one| output::data(&line(one)));
        if self.more > 0 {
            output::line(&format!(
                "  ... and {} more; --all-files shows them",
                count(self.more)
            ));
        }
    }
}

fn line(difference: &Difference) -> String {
    let bytes = |noted: &Option<diff::Noted>| noted.as_ref().map_or(0, |noted| noted.bytes);
    let (before, after) = (bytes(&difference.before), bytes(&difference.after));
    let (sign, sizes) = match difference.change {
        Change::Added => ('+', size(after)),
        Change::Removed => ('-', size(before)),
        Change::Changed if before == after => ('~', size(after)),
        Change::Changed => ('~', format!("{} -> {}", size(before), size(after))),
    };
    let name = output::one_line(&format!(
        "{}/{}",
        difference.domain, difference.relative_path
    ));
    format!("  {sign} {name}  {sizes}")
}

/// Describes in a few lines what changed.
pub fn text(report: &Report) -> Vec<String> {
    let amounts = &report.amounts;
    let part = |what: &str, amount: Amount| match amount.files {
        0 => format!("{what} none"),
        files => format!("{what} {} ({})", count(files), size(amount.bytes)),
    };
    let parts = |amounts: &diff::Amounts| {
        let parts = [
            part("added", amounts.added),
            part("removed", amounts.removed),
            part("changed", amounts.changed),
        ];
        parts.join(", ")
    };
    let is_same = *amounts == diff::Amounts::default();
    let mut lines = vec![if is_same {
        format!(
            "SAME. {} in both, according to the phone's records.",
            counted(report.unchanged, "file")
        )
    } else {
        format!(
            "DIFFERENT. Files {}; {} unchanged.",
            parts(amounts),
            count(report.unchanged)
        )
    }];
    for (word, side) in [("from", &report.before), ("to", &report.after)] {
        lines.push(format!("  {word:<5} {}", side_words(side)));
    }
    for (word, apps) in [
        ("added", &report.apps_added),
        ("removed", &report.apps_removed),
    ] {
        if !apps.is_empty() {
            let names: Vec<_> = apps
                .iter()
                .take(SHOWN_MAX)
                .map(|app| output::one_line(app))
                .collect();
            let more = match apps.len().saturating_sub(SHOWN_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            lines.push(format!(
                "  {} {word}: {}{more}",
                counted(apps.len() as u64, "app"),
                names.join(", ")
            ));
        }
    }
    for of_kind in &report.kinds {
        lines.push(format!(
            "  {:<34} {}",
            of_kind.kind.words(),
            parts(&of_kind.amounts)
        ));
    }
    lines
}

fn side_words(side: &Side) -> String {
    let date = side.date.as_deref().map(time::when);
    let ios = side.ios.as_ref().map(|ios| format!("iOS {ios}"));
    let encrypted = side.encrypted.then(|| "encrypted".to_owned());
    let facts: Vec<String> = [side.name.clone(), date, ios, encrypted]
        .into_iter()
        .flatten()
        .collect();
    if facts.is_empty() {
        side.path.clone()
    } else {
        output::one_line(&format!("{} ({})", side.path, facts.join(", ")))
    }
}

/// Number of differences shown without `--all`.
const SHOWN_MAX: usize = 40;

/// Limit on the differences that are sorted, since sorting holds them in memory.
const SORTED_MAX: usize = 100_000;
