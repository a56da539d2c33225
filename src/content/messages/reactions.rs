//! Reactions to messages: their kinds, their targets, and which of them still count.

use crate::content::messages::record::{Reaction, ReactionKind, ReactionState, Target};

/// A row that adds a reaction or takes one back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) target: Target,
    pub(super) takes_back: bool,
    pub(super) reaction: Reaction,
}

/// Returns the kind of reaction for a number of `associated_message_type`, and true if the row
/// takes it back. Other numbers belong to ordinary messages.
pub(super) fn kind_of(number: i64) -> Option<(ReactionKind, bool)> {
    use ReactionKind::*;
    const ADDED: i64 = 2000;
    const TAKEN_BACK: i64 = 3000;
    /// A sticker that was laid on a message.
    const STICKER: i64 = 1000;
    if number == STICKER {
        return Some((Sticker, false));
    }
    let takes_back = number >= TAKEN_BACK;
    let base = if takes_back { TAKEN_BACK } else { ADDED };
    let kinds = [
        Love, Like, Dislike, Laugh, Emphasize, Question, Emoji, Sticker,
    ];
    let at = usize::try_from(number.checked_sub(base)?).ok()?;
    kinds.get(at).map(|kind| (*kind, takes_back))
}

/// Parses a target: `p:PART/GUID`, `bp:GUID` or a GUID.
pub(super) fn target_of(text: &str) -> Target {
    let of_part = text.strip_prefix("p:").and_then(|rest| {
        let (part, guid) = rest.split_once('/')?;
        Some((part.parse().ok(), guid))
    });
    let (part, guid) = of_part.unwrap_or((None, text.strip_prefix("bp:").unwrap_or(text)));
    Target {
        guid: guid.to_owned(),
        part,
    }
}

/// Settles which reactions of a message count. `changes` are in the order of their times.
pub(super) fn settle(changes: Vec<Change>) -> Vec<Reaction> {
    let mut settled: Vec<Reaction> = Vec::new();
    for change in changes {
        let new = change.reaction;
        let of_same_person = |old: &&mut Reaction| {
            old.state == ReactionState::Current
                && old.part == new.part
                && old.from_me == new.from_me
                && address(old) == address(&new)
        };
        if change.takes_back {
            let taken = settled.iter_mut().rev().filter(of_same_person).find(|old| {
                // A phone that does not say which emoji takes back the only one.
                old.reaction == new.reaction && (new.emoji.is_none() || old.emoji == new.emoji)
            });
            if let Some(old) = taken {
                old.state = ReactionState::Removed;
            }
            continue;
        }
        // A person has one reaction for a part, and any number of stickers.
        if new.reaction != ReactionKind::Sticker {
            settled
                .iter_mut()
                .filter(of_same_person)
                .filter(|old| old.reaction != ReactionKind::Sticker)
                .for_each(|old| old.state = ReactionState::Replaced);
        }
        settled.push(new);
    }
    settled
}

fn address(reaction: &Reaction) -> Option<&str> {
    reaction.sender.as_ref().map(|who| who.address.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::messages::record::Handle;

    fn change(who: &str, number: i64, emoji: Option<&str>) -> Change {
        let (reaction, takes_back) = kind_of(number).unwrap();
        Change {
            target: target_of("p:0/G"),
            takes_back,
            reaction: Reaction {
                reaction,
                emoji: emoji.map(str::to_owned),
                sticker: None,
                from_me: who.is_empty(),
                sender: (!who.is_empty()).then(|| Handle {
                    address: who.to_owned(),
                    country: None,
                    name: None,
                }),
                time: None,
                part: Some(0),
                state: ReactionState::Current,
            },
        }
    }

    fn states(changes: Vec<Change>) -> Vec<ReactionState> {
        settle(changes).into_iter().map(|one| one.state).collect()
    }

    #[test]
    fn newest_reaction_of_a_person_counts() {
        use ReactionState::*;
        let love = || change("a", 2000, None);
        assert_eq!(
            states(vec![love(), change("a", 2001, None)]),
            [Replaced, Current]
        );
        assert_eq!(
            states(vec![love(), change("b", 2001, None)]),
            [Current, Current]
        );
        assert_eq!(
            states(vec![love(), change("", 2000, None)]),
            [Current, Current]
        );
        assert_eq!(states(vec![love(), change("a", 3000, None)]), [Removed]);
        // Taking back another reaction, or the same one of another person, changes nothing.
        assert_eq!(states(vec![love(), change("a", 3001, None)]), [Current]);
        assert_eq!(states(vec![love(), change("b", 3000, None)]), [Current]);
        assert_eq!(states(vec![change("a", 3000, None)]), []);
    }

    #[test]
    fn emoji_and_stickers_are_told_apart() {
        use ReactionState::*;
        let emoji = |number, emoji| change("a", number, Some(emoji));
        assert_eq!(
            states(vec![emoji(2006, "🦊"), emoji(3006, "🐻")]),
            [Current]
        );
        assert_eq!(
            states(vec![emoji(2006, "🦊"), emoji(3006, "🦊")]),
            [Removed]
        );
        assert_eq!(
            states(vec![emoji(2006, "🦊"), change("a", 3006, None)]),
            [Removed]
        );
        let sticker = || change("a", 2007, None);
        let laid = change("a", 1000, None);
        let mixed = vec![sticker(), laid, emoji(2006, "🦊"), sticker()];
        assert_eq!(states(mixed), [Current; 4]);
    }

    #[test]
    fn targets_and_numbers_are_parsed() {
        for (text, part, guid) in [
            ("p:3/AB-1", Some(3), "AB-1"),
            ("bp:AB-1", None, "AB-1"),
            ("AB-1", None, "AB-1"),
            ("p:x/AB-1", None, "AB-1"),
            ("p:3", None, "p:3"),
        ] {
            let target = target_of(text);
            assert_eq!((target.part, target.guid.as_str()), (part, guid), "{text}");
        }
        for number in [
            i64::MIN,
            0,
            2,
            3,
            999,
            1001,
            1999,
            2008,
            3008,
            4000,
            i64::MAX,
        ] {
            assert_eq!(kind_of(number), None, "{number}");
        }
    }
}
