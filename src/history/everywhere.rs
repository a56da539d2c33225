//! Finds all backups of this computer: in the store in use, in stores that were used before, and in
//! the folders of other programs.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use std::{fs, io};

use serde::Serialize;

use super::known_stores::{Known, KnownPhone};
use super::list::{Backup, listed};
use super::places::{Home, places};
use crate::store::{self, Absence, Store};

/// The name of this program in a list of programs.
pub const OURS: &str = "idev-backup";

/// State of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The place was read.
    Here,
    /// The place is not there: its disk is not connected, or it was removed.
    Offline,
    /// This user has no permission to read it.
    NoAccess,
    /// Reading it takes too long, as on a network disk that does not answer.
    Silent,
    /// Reading it fails for another reason.
    Unreadable,
}

/// A folder that holds or held backups.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    /// The program that keeps backups there.
    pub program: &'static str,
    /// The folder.
    pub path: String,
    /// True for the store in use.
    pub current: bool,
    /// State of the place.
    pub state: State,
    /// Reason of a state other than `here`.
    pub why: Option<String>,
    /// Time at which the store was last opened, RFC 3339; null if that is not known.
    pub seen: Option<String>,
    /// The phones that the store held then. Empty if it is here.
    pub phones: Vec<KnownPhone>,
    /// The backups, by phone, newest first.
    pub backups: Vec<Backup>,
}

/// The places to search.
#[derive(Debug, Clone)]
pub struct Search {
    /// The store in use, which need not exist.
    pub current: PathBuf,
    /// True if the user named the store in use: then it is shown also if nothing is there.
    pub is_named: bool,
    /// Stores that were used before.
    pub known: Vec<Known>,
    /// The folders of the user.
    pub home: Home,
    /// Time without any progress after which the remaining places count as silent.
    pub silence_max: Duration,
}

/// A place before it was looked at.
#[derive(Debug, Clone)]
struct Candidate {
    program: &'static str,
    path: PathBuf,
    current: bool,
    /// The user named it as the store in use.
    named: bool,
    known: Option<Known>,
}

/// A message of a thread that looks at a place.
enum News {
    Progress,
    /// Number of the candidate, its path without links, and the place if there is one.
    Seen(usize, PathBuf, Option<Place>),
}

/// Looks at all places at once, and returns those where something is or was.
pub fn everywhere(search: &Search) -> Vec<Place> {
    gather(candidates(search), search.silence_max, look)
}

fn gather(
    candidates: Vec<Candidate>,
    silence_max: Duration,
    look: impl Fn(&Candidate, &Sender<News>) -> Option<Place> + Copy + Send + 'static,
) -> Vec<Place> {
    let (news, heard) = channel();
    for (number, candidate) in candidates.iter().cloned().enumerate() {
        let news = news.clone();
        // A thread that waits for a disk cannot be stopped. It ends with the program.
        std::thread::spawn(move || {
            let real = fs::canonicalize(&candidate.path);
            let place = look(&candidate, &news);
            let real = real.unwrap_or(candidate.path);
            // The search may have given up on this place.
            drop(news.send(News::Seen(number, real, place)));
        });
    }
    drop(news);
    let mut seen: Vec<Option<(PathBuf, Option<Place>)>> = vec![None; candidates.len()];
    while let Ok(news) = heard.recv_timeout(silence_max) {
        if let News::Seen(number, real, place) = news {
            seen[number] = Some((real, place));
        }
    }
    let mut found = Vec::new();
    let mut paths: Vec<PathBuf> = Vec::new();
    for (candidate, seen) in candidates.into_iter().zip(seen) {
        let Some((real, place)) = seen else {
            found.push(candidate.place(State::Silent, None));
            continue;
        };
        let Some(place) = place else { continue };
        // Two names of one folder are one place.
        if place.state != State::Here || !paths.contains(&real) {
            paths.push(real);
            found.push(place);
        }
    }
    found
}

/// Returns the places to look at, each path once: stores first.
fn candidates(search: &Search) -> Vec<Candidate> {
    let ours = |path: &Path, known: Option<&Known>| Candidate {
        program: OURS,
        path: path.to_path_buf(),
        current: path == search.current,
        named: path == search.current && search.is_named,
        known: known.cloned(),
    };
    let known = |path: &Path| search.known.iter().find(|known| known.path == path);
    let mut all = vec![ours(&search.current, known(&search.current))];
    let others = search
        .known
        .iter()
        .filter(|known| known.path != search.current);
    all.extend(others.map(|known| ours(&known.path, Some(known))));
    let of_programs = places(&search.home).into_iter().map(|folder| Candidate {
        program: folder.program,
        path: folder.path,
        current: false,
        named: false,
        known: None,
    });
    all.extend(of_programs);
    all
}

impl Candidate {
    fn place(self, state: State, why: Option<String>) -> Place {
        let (seen, phones) = match self.known {
            Some(known) if state != State::Here => (Some(known.seen), known.phones),
            _ => (None, Vec::new()),
        };
        Place {
            program: self.program,
            path: self.path.display().to_string(),
            current: self.current,
            state,
            why,
            seen,
            phones,
            backups: Vec::new(),
        }
    }
}

/// Looks at one place. Returns `None` if nothing is or was there.
fn look(candidate: &Candidate, news: &Sender<News>) -> Option<Place> {
    let here = |store: &Store| -> Result<Place, store::Error> {
        store.holds_something()?;
        let snapshots = store.snapshots()?;
        let backups = listed(store, &snapshots, &mut || {
            // The search may have given up on this place.
            drop(news.send(News::Progress));
        });
        Ok(Place {
            backups,
            ..candidate.clone().place(State::Here, None)
        })
    };
    match Store::open(&candidate.path).and_then(|store| here(&store)) {
        Ok(place) => Some(place),
        Err(e) => away(candidate, &e),
    }
}

/// Looks at a store that was used before. Returns `None` if it is there and can be read.
#[cfg(feature = "web")]
pub(crate) fn absent(known: &Known) -> Option<Place> {
    let candidate = Candidate {
        program: OURS,
        path: known.path.clone(),
        current: false,
        named: false,
        known: Some(known.clone()),
    };
    let opened = Store::open(&candidate.path).and_then(|store| store.holds_something());
    opened.err().and_then(|e| away(&candidate, &e))
}

/// Describes a place that cannot be read.
fn away(candidate: &Candidate, error: &store::Error) -> Option<Place> {
    let place = |state, why: String| Some(candidate.clone().place(state, Some(why)));
    match error {
        store::Error::NoStore { cause, .. } => {
            let is_away = match cause {
                Absence::DeadLink { .. } => true,
                Absence::NotMounted(_) | Absence::Empty(_) => candidate.named,
                _ => false,
            };
            if candidate.known.is_some() || is_away {
                place(State::Offline, cause.to_string())
            } else {
                None
            }
        }
        e if e.is_refused() => place(State::NoAccess, e.to_string()),
        store::Error::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound => None,
        e => place(State::Unreadable, e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(known: Option<Known>) -> Candidate {
        Candidate {
            program: OURS,
            path: "/media/disk".into(),
            current: false,
            named: false,
            known,
        }
    }

    #[test]
    fn errors_become_states() {
        let known = || Known {
            path: "/media/disk".into(),
            seen: "2026-11-27T22:14:00Z".to_owned(),
            phones: Vec::new(),
        };
        let absent = |cause| store::Error::NoStore {
            path: "/media/disk".into(),
            cause,
        };
        let io = |kind: io::ErrorKind| store::Error::io("list", Path::new("/x"), kind.into());
        let link = Absence::DeadLink {
            link: "/a".into(),
            target: "/b".into(),
        };
        for (known, error, state) in [
            (Some(known()), absent(Absence::NoMark), Some(State::Offline)),
            (None, absent(Absence::NoMark), None),
            (None, absent(link), Some(State::Offline)),
            (
                None,
                io(io::ErrorKind::PermissionDenied),
                Some(State::NoAccess),
            ),
            (None, io(io::ErrorKind::NotFound), None),
            (
                None,
                io(io::ErrorKind::InvalidData),
                Some(State::Unreadable),
            ),
        ] {
            let seen = known.as_ref().map(|known| known.seen.clone());
            let place = away(&candidate(known), &error);
            assert_eq!(place.as_ref().map(|place| place.state), state, "{error}");
            assert_eq!(place.and_then(|place| place.seen), seen, "{error}");
        }
    }

    #[test]
    fn silent_places_are_named() {
        let candidates = ["/answers", "/hangs"].map(|path| Candidate {
            path: path.into(),
            ..candidate(None)
        });
        let found = gather(candidates.to_vec(), Duration::from_millis(200), |one, _| {
            while one.path == Path::new("/hangs") {
                std::thread::park();
            }
            Some(one.clone().place(State::Here, None))
        });
        let states: Vec<_> = found.iter().map(|place| place.state).collect();
        assert_eq!(states, [State::Here, State::Silent]);
    }
}
