//! Selects items of a backup by pattern, domain, size and date.

use std::ops::RangeInclusive;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::reader::Error;
use crate::reader::backup::Item;

pub use crate::backup_format::manifest_db::Kind;

/// The criteria for selecting items. Without any, all items match.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Shell patterns (`*`, `**`, `?`, `[a-z]`, `{a,b}`). A pattern with a `/` must match domain
    /// and path (`CameraRollDomain/**/*.HEIC`); one without must match the last name only
    /// (`*.HEIC`).
    pub patterns: Vec<String>,
    /// Shell patterns for domains (`AppDomain-*`).
    pub domains: Vec<String>,
    /// Ignore case in patterns.
    pub any_case: bool,
    /// The range of file sizes, in bytes.
    pub size: Option<RangeInclusive<u64>>,
    /// The range of the last modification, in seconds since 1970.
    pub modified: Option<RangeInclusive<i64>>,
    /// Only items of this kind.
    pub kind: Option<Kind>,
}

impl Wanted {
    /// Returns true if there are no criteria, so that all items match.
    pub(crate) fn is_everything(&self) -> bool {
        self.patterns.is_empty()
            && self.domains.is_empty()
            && self.size.is_none()
            && self.modified.is_none()
            && self.kind.is_none()
    }
}

/// The criteria with compiled patterns.
pub struct Select {
    wanted: Wanted,
    whole: Option<GlobSet>,
    names: Option<GlobSet>,
    domains: Option<GlobSet>,
}

impl Select {
    /// Compiles the patterns.
    pub fn new(wanted: Wanted) -> Result<Select, Error> {
        let any_case = wanted.any_case;
        let (whole, names): (Vec<_>, Vec<_>) = wanted
            .patterns
            .iter()
            .partition(|pattern| pattern.contains('/'));
        Ok(Select {
            whole: set(&whole, any_case)?,
            names: set(&names, any_case)?,
            domains: set(&wanted.domains.iter().collect::<Vec<_>>(), any_case)?,
            wanted,
        })
    }

    /// Returns true if the item matches. An item whose record is damaged matches criteria that need
    /// it; the error is reported when the item is read.
    pub(crate) fn has(&self, item: &Item) -> bool {
        self.has_name(&item.domain, &item.relative_path)
            && self.wanted.kind.is_none_or(|kind| kind == item.kind)
            && (self.wanted.size.as_ref())
                .is_none_or(|sizes| item.size().map_or(true, |size| sizes.contains(&size)))
            && (self.wanted.modified.as_ref()).is_none_or(|times| {
                item.facts()
                    .map_or(true, |facts| times.contains(&facts.modified))
            })
    }

    fn has_name(&self, domain: &str, relative_path: &str) -> bool {
        if !self.domains.as_ref().is_none_or(|set| set.is_match(domain)) {
            return false;
        }
        if self.whole.is_none() && self.names.is_none() {
            return true;
        }
        let whole = if relative_path.is_empty() {
            domain.to_owned()
        } else {
            format!("{domain}/{relative_path}")
        };
        let name = whole.rsplit('/').next().unwrap_or_default();
        (self.whole.as_ref()).is_some_and(|set| set.is_match(&whole))
            || (self.names.as_ref()).is_some_and(|set| set.is_match(name))
    }
}

pub(crate) fn set(patterns: &[&String], any_case: bool) -> Result<Option<GlobSet>, Error> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .backslash_escape(true)
            .case_insensitive(any_case)
            .build();
        set.add(glob.map_err(Error::Pattern)?);
    }
    set.build().map(Some).map_err(Error::Pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(patterns: &[&str], domains: &[&str], name: (&str, &str)) -> bool {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let wanted = Wanted {
            patterns: texts(patterns),
            domains: texts(domains),
            ..Wanted::default()
        };
        Select::new(wanted).unwrap().has_name(name.0, name.1)
    }

    #[test]
    fn patterns_match_name_or_full_path() {
        let photo = ("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0001.HEIC");
        for pattern in [
            "*.HEIC",
            "IMG_000?.*",
            "CameraRollDomain/**/*.HEIC",
            "CameraRollDomain/**",
            "**/100APPLE/*",
        ] {
            assert!(has(&[pattern], &[], photo), "{pattern}");
        }
        for pattern in [
            "*.heic",
            "HEIC",
            "CameraRollDomain/*.HEIC",
            "Media/**",
            "CameraRollDomain",
        ] {
            assert!(!has(&[pattern], &[], photo), "{pattern}");
        }
        assert!(has(&[], &["Camera*"], photo) && !has(&[], &["App*"], photo));
        assert!(has(&["*.MOV", "*.HEIC"], &[], photo) && !has(&["*.HEIC"], &["App*"], photo));
        assert!(has(&["HomeDomain"], &[], ("HomeDomain", "")));
    }

    #[test]
    fn invalid_pattern_is_an_error() {
        let wanted = Wanted {
            patterns: vec!["[".to_owned()],
            ..Wanted::default()
        };
        assert!(Select::new(wanted).is_err());
    }
}
