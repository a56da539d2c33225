//! Replays lockdown's answers from a trace, which are found by the request.

use plist::{Dictionary, Value};
use serde_json::Value as Json;

use super::{Connected, LOCKDOWN, Replay, Step, What, described};
use crate::trace::framing::{Framing, Item};
use crate::trace::line::{Dir, Message};
use crate::trace::{compare, json};

/// Replays one connection to lockdown.
pub(crate) struct LockdownScript<'a> {
    replay: &'a Replay,
    channel: Option<usize>,
    at: usize,
    _connected: Connected<'a>,
}

/// Degree to which a request must match a recorded one.
#[derive(Clone, Copy)]
enum Alike {
    /// The requests mean the same.
    Wholly,
    /// The requests ask for the same thing, with different options.
    InKind,
}

/// Answer that lockdown shall give.
pub(crate) struct Answer {
    /// The recorded answer.
    pub(crate) reply: Json,
    /// True if the phone closed the connection after this answer.
    pub(crate) last: bool,
}

impl<'a> LockdownScript<'a> {
    /// Takes the next recorded connection. If none is left, every answer comes from another
    /// connection.
    pub(super) fn new(replay: &'a Replay) -> LockdownScript<'a> {
        LockdownScript {
            replay,
            channel: replay.take(LOCKDOWN),
            at: 0,
            _connected: replay.connected(),
        }
    }

    /// Returns the recorded answer to a request. Returns `None` if the trace has no answer, so
    /// that the phone gives its own.
    pub(crate) fn answer(&mut self, request: &Dictionary) -> Option<Answer> {
        let item = Item::Plist(Value::Dictionary(request.clone()));
        let came = super::super::lock(&self.replay.state)
            .redactor
            .item(Framing::Plists, item);
        let here = self.channel.and_then(|channel| {
            let found = self
                .matching(channel, &came, Alike::Wholly)
                .find(|at| *at >= self.at)?;
            Some((channel, found))
        });
        // A different program may send its requests at other times, and with other options.
        let found = here
            .or_else(|| self.elsewhere(&came, Alike::Wholly))
            .or_else(|| self.elsewhere(&came, Alike::InKind));
        if let Some((at, what)) = self.departure(here, found, &came) {
            self.replay.departs(LOCKDOWN, at, what);
        }
        if let Some((channel, at)) = here {
            self.at = at + 2;
            self.replay.pass(channel, at);
        }
        let (channel, at) = found?;
        let steps = &self.replay.channels[channel].steps;
        let What::Says(_, Message::Plist(reply)) = &steps.get(at + 1)?.what else {
            return None;
        };
        let after = steps.get(at + 2).map(|step| &step.what);
        Some(Answer {
            reply: reply.clone(),
            last: matches!(after, Some(What::Closes(Dir::FromPhone))),
        })
    }

    /// Describes how a request departs from the trace, given the match on this connection (`here`)
    /// and on any (`found`). Also returns the index of the message.
    fn departure(
        &self,
        here: Option<(usize, usize)>,
        found: Option<(usize, usize)>,
        came: &Message,
    ) -> Option<(usize, String)> {
        let asked = described(came);
        match (here, found) {
            (Some((channel, at)), _) => {
                let skipped = self.skipped(channel, at)?;
                let what = format!("{asked} came, and {skipped} was recorded before it");
                Some((at + 1, what))
            }
            (None, Some((channel, at))) => {
                let What::Says(_, recorded) = &self.replay.channels[channel].steps[at].what else {
                    return None;
                };
                let differs = compare::departure(recorded, came, None);
                Some((
                    0,
                    match differs {
                        Some(how) => format!("{asked} came in other words: {how}"),
                        None => format!("{asked} came out of turn"),
                    },
                ))
            }
            (None, None) => Some((0, format!("{asked} has no recorded answer"))),
        }
    }

    /// Finds the request on any connection: the first occurrence not answered yet, or else the
    /// last.
    fn elsewhere(&self, came: &Message, alike: Alike) -> Option<(usize, usize)> {
        let channels = &self.replay.channels;
        let lockdowns = (0..channels.len()).filter(|at| channels[*at].name == LOCKDOWN);
        let all: Vec<(usize, usize)> = lockdowns
            .flat_map(|channel| {
                self.matching(channel, came, alike)
                    .map(move |at| (channel, at))
            })
            .collect();
        let mut state = super::super::lock(&self.replay.state);
        let order = |(channel, at): &(usize, usize)| channels[*channel].steps[*at].order;
        let fresh = all.iter().find(|found| !state.passed[order(found)]);
        let found = *fresh.or(all.last())?;
        state.passed[order(&found)] = true;
        self.replay.passed.notify_all();
        Some(found)
    }

    /// Returns the positions at which a channel has this request, followed by an answer.
    fn matching(
        &self,
        channel: usize,
        came: &Message,
        alike: Alike,
    ) -> impl Iterator<Item = usize> {
        let steps = &self.replay.channels[channel].steps;
        (0..steps.len()).filter(move |at| {
            let asks = |what: &What| match (what, alike) {
                (What::Says(Dir::ToPhone, asked), Alike::Wholly) => {
                    compare::departure(asked, came, None).is_none()
                }
                (What::Says(Dir::ToPhone, asked), Alike::InKind) => {
                    described(asked) == described(came)
                }
                _ => false,
            };
            let answered = |step: &Step| matches!(step.what, What::Says(Dir::FromPhone, _));
            asks(&steps[*at].what) && steps.get(at + 1).is_some_and(answered)
        })
    }

    /// Returns the first recorded request between the previous one and this one.
    fn skipped(&self, channel: usize, found: usize) -> Option<String> {
        let steps = self.replay.channels[channel].steps.get(self.at..found)?;
        steps.iter().find_map(|step| match &step.what {
            What::Says(Dir::ToPhone, message) => Some(described(message)),
            _ => None,
        })
    }
}

/// Returns a recorded answer of lockdown in which values that must be fresh are replaced by live
/// ones: data (keys, bags) and ports.
pub(crate) fn renewed(recorded: &Json, live: Option<&Dictionary>) -> Dictionary {
    let Value::Dictionary(mut reply) = json::to_plist(recorded) else {
        return Dictionary::new();
    };
    for (key, value) in live.into_iter().flatten() {
        let is_data = recorded.get(key).is_some_and(|v| v.get("$data").is_some());
        if is_data || (key == "Port" && reply.contains_key(key)) {
            reply.insert(key.clone(), value.clone());
        }
    }
    reply
}
