//! What lies where in a backup: its domains, what a folder holds, what has a name, and all of it as
//! a tree.

use std::ops::Range;

use serde::Serialize;

use super::Error;
use super::list::rfc3339_seconds;
use super::opened::{Item, Opened};
use super::select::Select;
use super::totals::{Sum, Totals};
use super::usage::bundle_id;
use crate::manifest::db::{Filter, Kind};
use crate::manifest::info::application_names;

/// The domains of a backup.
#[derive(Debug, Clone, Serialize)]
pub struct Domains {
    /// By name.
    pub domains: Vec<Domain>,
    /// In domains that are too many to be named; no phone has so many.
    pub unnamed: Sum,
    /// Files whose records cannot be read: they count as files, and as no bytes.
    pub unreadable: u64,
}

/// One domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Domain {
    /// `HomeDomain`, `AppDomain-com.example`, ...
    pub domain: String,
    /// The name of the application whose it is, where the backup tells it.
    pub app: Option<String>,
    /// What is in it.
    #[serde(flatten)]
    pub sum: Sum,
}

/// Something in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its domain.
    pub domain: String,
    /// Its path in it.
    pub path: String,
    /// `file`, `folder`, `link` or `other`.
    pub kind: &'static str,
    /// Bytes.
    pub size: Option<u64>,
    /// `st_mode`: type and permissions.
    pub mode: Option<u32>,
    /// Last change of its contents, RFC 3339.
    pub modified: Option<String>,
    /// Where a link points.
    pub target: Option<String>,
    /// What its bytes are called in the backup; `None` for a folder that is only named in other
    /// paths.
    pub file_id: Option<String>,
}

impl Entry {
    /// Returns what the list has of an item. What of it is damaged is left out, and the backup
    /// notes it.
    pub fn of(opened: &Opened, item: &Item) -> Entry {
        let facts = item.facts();
        if let (Err(why), Kind::File | Kind::Link) = (&facts, item.kind) {
            opened.note_record(item, why);
        }
        let facts = facts.ok();
        let target = match item.kind {
            Kind::Link => item.record().ok().and_then(|record| record.target),
            _ => None,
        };
        Entry {
            domain: item.domain.clone(),
            path: item.relative_path.clone(),
            kind: match item.kind {
                Kind::File => "file",
                Kind::Directory => "folder",
                Kind::Link => "link",
                Kind::Other => "other",
            },
            size: facts.map(|facts| facts.size),
            mode: facts.map(|facts| facts.mode),
            modified: facts.and_then(|facts| rfc3339_seconds(facts.modified)),
            target,
            file_id: Some(item.file_id.clone()),
        }
    }

    /// A folder that the list has no row for.
    fn implied(domain: &str, path: &str) -> Entry {
        Entry {
            domain: domain.to_owned(),
            path: path.to_owned(),
            kind: "folder",
            size: None,
            mode: None,
            modified: None,
            target: None,
            file_id: None,
        }
    }
}

/// The domains, with what is in each.
pub fn domains(opened: &Opened) -> Result<Domains, Error> {
    let totals = Totals::of(opened)?;
    let names = application_names(opened.folder());
    let mut domains: Vec<Domain> = totals
        .domains
        .into_iter()
        .map(|(domain, sum)| Domain {
            app: bundle_id(&domain).and_then(|id| names.get(id).cloned()),
            domain,
            sum,
        })
        .collect();
    domains.sort_by(|a, b| a.domain.cmp(&b.domain));
    Ok(Domains {
        domains,
        unnamed: totals.unnamed,
        unreadable: totals.unreadable,
    })
}

/// Calls `each` for what the folder at a path holds, by name, until it answers false; `recursive`,
/// for all below it. What is no folder is its own listing. Answers how many there were.
pub fn list(
    opened: &Opened,
    domain: &str,
    path: &str,
    recursive: bool,
    mut each: impl FnMut(Entry) -> bool,
) -> Result<u64, Error> {
    let (mut is_there, mut count) = (false, 0);
    let mut last: Option<String> = None;
    opened.tree(Some(domain), path, |item| {
        is_there = true;
        let rest = below(&item.relative_path, path);
        let entry = if rest.is_empty() {
            if item.kind == Kind::Directory {
                return true;
            }
            Entry::of(opened, &item)
        } else if recursive {
            Entry::of(opened, &item)
        } else {
            let child = rest.split('/').next().unwrap_or_default();
            if last.as_deref() == Some(child) {
                return true;
            }
            last = Some(child.to_owned());
            let length = item.relative_path.len() - rest.len() + child.len();
            match child.len() == rest.len() {
                true => Entry::of(opened, &item),
                false => Entry::implied(domain, &item.relative_path[..length]),
            }
        };
        count += 1;
        each(entry)
    })?;
    match is_there {
        true => Ok(count),
        false => Err(nothing_at(domain, path)),
    }
}

/// The path of something in a folder as it is seen from there.
fn below<'a>(path: &'a str, folder: &str) -> &'a str {
    let rest = path.strip_prefix(folder).unwrap_or(path);
    match folder.is_empty() {
        true => rest,
        false => rest.strip_prefix('/').unwrap_or(rest),
    }
}

fn nothing_at(domain: &str, path: &str) -> Error {
    if domain.is_empty() {
        return Error::Nothing {
            what: format!("no domain is named before {:?}", format!("/{path}")),
            hint: "a place begins with its domain, without a slash before it, as in HomeDomain/Library; `idev-backup ls BACKUP` shows \
                   the domains"
                .to_owned(),
        };
    }
    match path.is_empty() {
        true => Error::Nothing {
            what: format!("the backup has no domain {domain:?}"),
            hint: "`idev-backup ls BACKUP` shows its domains".to_owned(),
        },
        false => Error::Nothing {
            what: format!("the backup has nothing at {path:?} in {domain}"),
            hint: format!(
                "`idev-backup ls BACKUP {domain}` shows what is there; `idev-backup find` looks everywhere"
            ),
        },
    }
}

/// Calls `each` for what is meant, as the phone lists it, until it answers false. `domain` is the
/// only one that can have it, if that is known. Answers how much there was.
pub fn find(
    opened: &Opened,
    select: &Select,
    domain: Option<&str>,
    mut each: impl FnMut(&Item) -> bool,
) -> Result<u64, Error> {
    let mut count = 0;
    let filter = Filter {
        domain,
        ..Filter::default()
    };
    opened.each(&filter, |item| {
        if !select.has(&item) {
            return true;
        }
        count += 1;
        if let (Err(why), Kind::File) = (item.size(), item.kind) {
            opened.note_record(&item, &why);
        }
        each(&item)
    })?;
    Ok(count)
}

/// What a folder holds, with what is below each part of it added up.
#[derive(Debug, Default)]
pub struct Tree {
    names: String,
    /// Each before what it holds. The first is the folder itself.
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    name: Range<u32>,
    depth: u16,
    is_last: bool,
    is_folder: bool,
    sum: Sum,
}

/// A part of a tree.
#[derive(Debug)]
pub struct Branch<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// What is in it, or what it is.
    pub sum: Sum,
    /// Of what it is in, from the outside, and of itself: whether it is the last one there. Empty
    /// for the tree's own folder.
    pub lasts: &'a [bool],
}

/// Deepest that a tree is drawn: a phone's paths have some twenty parts, and each part widens all
/// lines below it.
pub const DEPTH_MAX: u16 = 64;
/// Largest that is kept to be drawn.
const NODES_MAX: usize = 1_500_000;
const TEXT_BYTES_MAX: usize = 40 << 20;

impl Tree {
    fn new(name: &str) -> Tree {
        let mut tree = Tree::default();
        tree.add(name, 0, true);
        tree
    }

    fn add(&mut self, name: &str, depth: u16, is_folder: bool) {
        let start = self.names.len() as u32;
        self.names.push_str(name);
        self.nodes.push(Node {
            name: start..self.names.len() as u32,
            depth,
            is_last: false,
            is_folder,
            sum: Sum::default(),
        });
    }

    /// Whether there is room for something with so long a path.
    fn has_room(&self, bytes: usize) -> bool {
        self.names.len() + bytes <= TEXT_BYTES_MAX
            && self.nodes.len() + usize::from(DEPTH_MAX) <= NODES_MAX
    }

    fn name(&self, node: usize) -> &str {
        let name = &self.nodes[node].name;
        &self.names[name.start as usize..name.end as usize]
    }

    /// Adds an item. `open` is the way to the one before, without the tree's own folder.
    fn put(&mut self, open: &mut Vec<usize>, path: &str, item: &Item, depth_max: u16) {
        let parts: Vec<&str> = (path.split('/').take(depth_max.into()))
            .filter(|_| !path.is_empty())
            .collect();
        let is_whole = path.split('/').nth(parts.len()).is_none();
        let same = (open.iter().zip(&parts))
            .take_while(|(node, part)| self.name(**node) == **part)
            .count();
        open.truncate(same);
        for (place, part) in parts.iter().enumerate().skip(same) {
            let is_folder = place + 1 < parts.len() || !is_whole || item.kind == Kind::Directory;
            open.push(self.nodes.len());
            self.add(part, place as u16 + 1, is_folder);
        }
        if item.kind == Kind::File {
            let sum = Sum {
                files: 1,
                bytes: item.size().unwrap_or(0),
            };
            self.nodes[0].sum.add(sum);
            open.iter().for_each(|node| self.nodes[*node].sum.add(sum));
        }
    }

    /// Marks the last one of each folder, from the end.
    fn end(&mut self) {
        let mut has_later = vec![false; usize::from(DEPTH_MAX) + 2];
        for node in self.nodes.iter_mut().rev() {
            let depth = usize::from(node.depth);
            node.is_last = !std::mem::replace(&mut has_later[depth], true);
            has_later[depth + 1] = false;
        }
    }

    /// Calls `each` for all of it from the top, until it answers false.
    pub fn each(&self, mut each: impl FnMut(Branch) -> bool) {
        let mut lasts = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            lasts.truncate(usize::from(node.depth).saturating_sub(1));
            if node.depth > 0 {
                lasts.push(node.is_last);
            }
            let branch = Branch {
                name: self.name(place),
                is_folder: node.is_folder,
                sum: node.sum,
                lasts: &lasts,
            };
            if !each(branch) {
                break;
            }
        }
    }
}

/// Calls `each` with the tree of a domain, at a path, or without one with that of every domain,
/// until it answers false. What is deeper than `depth_max` counts for what it is in.
pub fn tree(
    opened: &Opened,
    domain: Option<&str>,
    path: &str,
    depth_max: u16,
    mut each: impl FnMut(Tree) -> bool,
) -> Result<(), Error> {
    let depth_max = depth_max.min(DEPTH_MAX);
    let mut current: Option<(String, Tree)> = None;
    let mut open = Vec::new();
    let (mut goes_on, mut too_large) = (true, false);
    opened.tree(domain, path, |item| {
        let is_next = (current.as_ref()).is_none_or(|(domain, _)| *domain != item.domain);
        if is_next {
            if let Some((_, mut whole)) = current.take() {
                whole.end();
                goes_on = each(whole);
            }
            let name = match path.is_empty() {
                true => item.domain.clone(),
                false => format!("{}/{path}", item.domain),
            };
            open.clear();
            current = Some((item.domain.clone(), Tree::new(&name)));
        }
        if let Some((_, tree)) = &mut current {
            if let (Err(why), Kind::File) = (item.size(), item.kind) {
                opened.note_record(&item, &why);
            }
            too_large = !tree.has_room(item.relative_path.len());
            if !too_large {
                tree.put(
                    &mut open,
                    below(&item.relative_path, path),
                    &item,
                    depth_max,
                );
            }
        }
        goes_on && !too_large
    })?;
    if too_large {
        return Err(Error::Nothing {
            what: "there is more than can be drawn as a tree".to_owned(),
            hint: "name a folder, or draw less of it with --depth; `idev-backup find` lists all"
                .to_owned(),
        });
    }
    match (current, domain) {
        (Some((_, mut tree)), _) if goes_on => {
            tree.end();
            each(tree);
            Ok(())
        }
        (None, Some(domain)) => Err(nothing_at(domain, path)),
        _ => Ok(()),
    }
}
