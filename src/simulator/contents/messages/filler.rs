//! Ordinary messages, as many as the plan asks for.

use super::super::people::{ANA, JOERG, JUN, NUR, Person};
use super::{Draft, Story, Talk, run};
use crate::simulator::contents::typedstream::Attr;

const OPENINGS: [&str; 12] = [
    "Are you free",
    "Shall we meet",
    "The train leaves",
    "Lunch",
    "I will call you",
    "The parcel arrives",
    "See you",
    "Kommst du",
    "On se voit",
    "会いましょう",
    "لنلتق",
    "The film starts",
];
const TIMES: [&str; 8] = [
    "on Friday?",
    "at half past seven",
    "tomorrow morning",
    "after work, near the station",
    "in ten minutes 🚲",
    "next week — I will send the address",
    "at noon 🍜",
    "tonight? Bring the tickets, please, and the blue umbrella that I left in the hall last time",
];

/// Fills the conversations, and further ones where there are very many messages.
pub(super) fn tell(story: &mut Story<'_>) -> rusqlite::Result<()> {
    let wanted = (story.plan.messages as usize).saturating_sub(story.messages.len());
    if wanted == 0 {
        return Ok(());
    }
    let mut talks: Vec<(Talk, Vec<&Person>)> = Vec::new();
    for (others, name) in [
        (vec![JUN], None),
        (vec![NUR], None),
        (vec![ANA, JUN, JOERG], Some("Choir")),
    ] {
        talks.push((story.talk(&others, name, &["iMessage"])?, others));
    }
    // A phone with many messages has many groups.
    for number in 0..wanted / 5000 {
        let name = format!("Group {}", number + 1);
        let others = vec![ANA, NUR];
        talks.push((story.talk(&others, Some(&name), &["iMessage"])?, others));
    }
    for _ in 0..wanted {
        let number = story.messages.len() as u64;
        let pick =
            |of: u64, limit: usize| story.plan.pick(&[30 + of, number], limit as u64) as usize;
        let (opening, time) = (OPENINGS[pick(0, 12)], TIMES[pick(1, 8)]);
        // Half of all messages are in one conversation.
        let at = if pick(2, 2) == 0 {
            0
        } else {
            pick(3, talks.len())
        };
        let (talk, others) = &talks[at];
        let from = match pick(4, others.len() + 1) {
            0 => None,
            n => Some(others[n - 1]),
        };
        let text = format!("{opening} {time}");
        let draft = match pick(5, 25) {
            0 => {
                let url = format!("https://example.org/{number}");
                let mut link = run(&url, 0);
                link.attributes
                    .push(("__kIMLinkAttributeName", Attr::Url(url.clone())));
                Draft::runs(from, vec![run(&format!("{text} "), 0), link])
            }
            _ => Draft::text(from, &text),
        };
        let draft = match from {
            None => draft.with("date_delivered", story.date(story.clock + 7300)),
            Some(_) => draft,
        };
        story.send(Some(&talk.clone()), draft)?;
    }
    Ok(())
}
