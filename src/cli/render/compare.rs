//! Shows how the content of two backups differs.

use idev_backup::base::time::when_exactly;
use idev_backup::base::units::count;
use idev_backup::content::compare::{Change, Compared, Difference, Total};

use super::search::{cut, width};
use crate::cli::render::output;

/// Number of differences that are shown without `--all-files`.
const SHOWN_MAX: usize = 40;

/// The differences to show.
pub struct Shown {
    all: bool,
    held: Vec<String>,
    more: u64,
}

impl Shown {
    /// Creates an empty list. `all` differences are shown, as they come, or only the first.
    pub fn new(all: bool) -> Shown {
        Shown {
            all,
            held: Vec::new(),
            more: 0,
        }
    }

    /// Adds a difference.
    pub fn add(&mut self, difference: &Difference) {
        if self.all {
            output::data(&line(difference));
        } else if self.held.len() < SHOWN_MAX {
            self.held.push(line(difference));
        } else {
            self.more += 1;
        }
    }

    /// Prints the totals, then the differences that were not printed yet.
    pub fn tell(self, compared: &Compared) {
        text(compared).iter().for_each(|line| output::line(line));
        self.held.iter().for_each(|line| output::data(line));
        if self.more > 0 {
            let more = count(self.more);
            output::line(&format!("  ... and {more} more; --all-files shows them"));
        }
    }
}

fn line(difference: &Difference) -> String {
    let item = &difference.item;
    let sign = match difference.change {
        Change::Added => '+',
        Change::Changed => '~',
        Change::Gone => '-',
    };
    let mut parts = vec![item.kind.one().to_owned()];
    parts.extend(item.time.map(|time| when_exactly(&time.to_string())));
    parts.extend(item.who.clone());
    if item.place != item.who {
        parts.extend(item.place.as_ref().map(|place| format!("({place})")));
    }
    let mut texts = item.text.lines();
    let first = texts.find(|text| Some(*text) != item.who.as_deref());
    let text = first.map(|text| format!(": {text}")).unwrap_or_default();
    let whole = output::one_line(&format!("  {sign} {}{text}", parts.join(" ")));
    cut(&whole, width())
}

fn text(compared: &Compared) -> Vec<String> {
    let sum = |of: fn(&Total) -> u64| -> u64 { compared.kinds.iter().map(of).sum() };
    let (added, changed, gone) = (
        sum(|one| one.added),
        sum(|one| one.changed),
        sum(|one| one.gone),
    );
    let same = sum(|one| one.same);
    let mut lines = vec![if added + changed + gone == 0 {
        format!("SAME. {} entries are in both backups.", count(same))
    } else {
        format!(
            "DIFFERENT. Entries added {}, changed {}, gone {}; {} unchanged.",
            count(added),
            count(changed),
            count(gone),
            count(same)
        )
    }];
    for total in &compared.kinds {
        lines.push(format!(
            "  {:<31} added {}, changed {}, gone {}; {} unchanged",
            total.kind.word(),
            count(total.added),
            count(total.changed),
            count(total.gone),
            count(total.same)
        ));
    }
    for one in &compared.not_compared {
        lines.push(format!(
            "  {:<31} not compared: {}",
            one.kind.word(),
            output::one_line(&one.why)
        ));
    }
    lines
}
