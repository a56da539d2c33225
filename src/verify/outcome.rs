//! Decides the verdict from the findings and from the extent of the check.

use super::compared::Compared;
use super::finding::{Outcome, Report, Wrong};
use super::options::Depth;
use super::our_files::OurList;
use crate::verify::walk::Check;

/// All facts that the verdict depends on.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    depth: Depth,
    is_sample: bool,
    /// The phone's list was read.
    has_list: bool,
    /// A list of hashes exists.
    has_sums: bool,
    /// Files can be opened: they are not encrypted, or the keys are known.
    can_open: bool,
    /// A comparison that was asked for could not be made.
    was_hindered: bool,
    /// Number of files whose bytes were compared with nothing.
    not_compared: u64,
    damage: u64,
    remarks: u64,
}

fn decide(facts: Facts) -> Outcome {
    let Facts { depth, .. } = facts;
    // Each level promises more than names and sizes.
    let keeps_promise = match depth {
        Depth::Quick => true,
        Depth::Bytes => facts.has_sums || facts.not_compared == 0,
        Depth::Deep => facts.can_open,
    };
    if facts.damage > 0 {
        Outcome::Damaged
    } else if !facts.has_list || !keeps_promise || facts.was_hindered {
        Outcome::Unchecked
    } else if depth == Depth::Quick || facts.is_sample || facts.not_compared > 0 {
        Outcome::NoDamageFound
    } else if facts.remarks > 0 {
        Outcome::WholeWithRemarks
    } else {
        Outcome::Whole
    }
}

impl Check<'_> {
    /// Returns the report of a check that has ended.
    pub(super) fn report(self) -> Report {
        let encrypted = self.manifest.encrypted;
        let unlocked = encrypted && self.has_list;
        let Compared {
            hashed,
            read,
            other_sizes,
            passed_over,
            without_hash,
        } = self.compared;
        let without_proof = without_hash.saturating_sub(self.yield_.proved_by_digest);
        let facts = Facts {
            depth: self.options.depth,
            is_sample: self.options.sample.is_some(),
            has_list: self.has_list,
            has_sums: self.sums.is_some(),
            can_open: !encrypted || self.has_keys,
            was_hindered: self.findings.has(Wrong::Unchecked) || self.ours.has_damaged_list,
            not_compared: passed_over + without_proof,
            damage: self.findings.damage,
            remarks: self.findings.remarks,
        };
        let looked_at_all =
            facts.depth == Depth::Deep && !facts.is_sample && (unlocked || !encrypted);
        // A phone compares digests. Of encrypted files it is unknown which bytes it makes them
        // from, so there a wrong digest counts only if another one of this backup is right.
        let refuses_digest =
            self.findings.has(Wrong::OtherDigest) && (!encrypted || self.yield_.digests_right > 0);
        let lacks_something =
            self.lacks_something || self.findings.has(Wrong::Short) || refuses_digest;
        Report {
            path: self.folder.display().to_string(),
            of: None,
            outcome: decide(facts),
            depth: facts.depth,
            sample: self.options.sample.map(|sample| sample.fraction),
            files: self.files,
            bytes: self.bytes,
            listed: self.listed,
            hashed,
            read,
            not_compared: facts.not_compared,
            other_sizes,
            has_sums: facts.has_sums,
            proof: self.sums.as_ref().map(OurList::proof).unwrap_or_default(),
            has_damaged_list: self.ours.has_damaged_list,
            encrypted,
            unlocked,
            opened: self.yield_.opened,
            digests: self.yield_.digests,
            inside: self.yield_.inside,
            restorable: looked_at_all.then(|| {
                facts.damage == 0
                    && facts.has_list
                    && self.manifest.product_version.is_some()
                    && !lacks_something
            }),
            damage: facts.damage,
            remarks: facts.remarks,
            findings: self.findings.listed,
            contents: self.summary.amounts.list(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A check of our own backup in which every byte was right.
    const WHOLE: Facts = Facts {
        depth: Depth::Bytes,
        is_sample: false,
        has_list: true,
        has_sums: true,
        can_open: true,
        was_hindered: false,
        not_compared: 0,
        damage: 0,
        remarks: 0,
    };

    #[test]
    fn verdict_claims_what_was_compared() {
        use Depth::{Bytes, Deep, Quick};
        use Outcome::{Damaged, NoDamageFound, Unchecked, Whole, WholeWithRemarks};
        let with = |change: fn(&mut Facts)| {
            let mut facts = WHOLE;
            change(&mut facts);
            facts
        };
        // Facts about the backup, and the verdict at each level.
        for (facts, quick, bytes, deep) in [
            (with(|_| {}), NoDamageFound, Whole, Whole),
            (
                with(|f| f.remarks = 1),
                NoDamageFound,
                WholeWithRemarks,
                WholeWithRemarks,
            ),
            (with(|f| f.damage = 1), Damaged, Damaged, Damaged),
            // An encrypted backup whose password is not known.
            (
                with(|f| (f.has_list, f.can_open) = (false, false)),
                Unchecked,
                Unchecked,
                Unchecked,
            ),
            // An encrypted backup from before iOS 10.2, whose list is not encrypted.
            (
                with(|f| f.can_open = false),
                NoDamageFound,
                Whole,
                Unchecked,
            ),
            // A backup of another program, without hashes.
            (
                with(|f| (f.has_sums, f.not_compared) = (false, 9)),
                NoDamageFound,
                Unchecked,
                NoDamageFound,
            ),
            // A backup of another program, whose list has a digest of every file.
            (with(|f| f.has_sums = false), NoDamageFound, Whole, Whole),
            (
                with(|f| (f.is_sample, f.not_compared) = (true, 9)),
                NoDamageFound,
                NoDamageFound,
                NoDamageFound,
            ),
            // A list of hashes that lacks lines.
            (
                with(|f| (f.was_hindered, f.not_compared) = (true, 9)),
                Unchecked,
                Unchecked,
                Unchecked,
            ),
        ] {
            for (depth, wanted) in [(Quick, quick), (Bytes, bytes), (Deep, deep)] {
                let facts = Facts { depth, ..facts };
                assert_eq!(decide(facts), wanted, "{facts:?}");
            }
        }
    }
}
