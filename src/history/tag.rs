//! Pins snapshots, and gives them names.

use crate::history::Error;
use crate::history::change::{Chosen, Noted};

/// Longest name of a snapshot, in characters.
pub(crate) const TAG_CHARS_MAX: usize = 80;

/// Adds a name to a snapshot, or removes one.
pub fn tag(of: &Chosen, name: &str, remove: bool) -> Result<Noted, Error> {
    let name = name.trim();
    let is_text = !name.is_empty() && !name.contains(char::is_control);
    if !is_text || name.chars().count() > TAG_CHARS_MAX || name == "latest" {
        return Err(Error::BadTag(name.to_owned()));
    }
    let there = of.store.notes(of.snapshot.udid())?.of(&of.snapshot).tags;
    if remove && !there.iter().any(|tag| tag == name) {
        return Err(Error::NoTag {
            path: of.snapshot.path().to_path_buf(),
            tag: name.to_owned(),
        });
    }
    of.note(|note| {
        note.tags.retain(|tag| tag != name);
        if !remove {
            note.tags.push(name.to_owned());
        }
    })
}

/// Pins or unpins a snapshot. Returns true too if that changed anything.
pub fn pin(of: &Chosen, pinned: bool) -> Result<(Noted, bool), Error> {
    let mut was = pinned;
    let noted = of.note(|note| was = std::mem::replace(&mut note.pinned, pinned))?;
    Ok((noted, was != pinned))
}
