//! Answers questions about the contents of a backup: its domains, the contents of a folder, the
//! files that match a pattern, and all of it as a tree.

use std::ops::Range;

use serde::Serialize;

use super::totals::{Sum, Totals};
use super::usage::bundle_id;
use crate::backup_format::info_plist::application_names;
use crate::backup_format::manifest_db::{Filter, Kind, Outline};
use crate::base::time::rfc3339_seconds;
use crate::reader::Error;
use crate::reader::backup::{Backup, Item};
use crate::reader::selection::Select;

/// The domains of a backup.
#[derive(Debug, Clone, Serialize)]
pub struct Domains {
    /// Domains, sorted by name.
    pub domains: Vec<Domain>,
    /// Files in domains beyond the number that is kept by name; no phone has that many.
    pub unnamed: Sum,
    /// Number of files whose records cannot be read. They count as files, and as no bytes.
    pub unreadable: u64,
}

/// A domain of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Domain {
    /// Name of the domain: `HomeDomain`, `AppDomain-com.example`, ...
    pub domain: String,
    /// Name of the application that owns the domain, if the backup has it.
    pub app: Option<String>,
    /// Number and size of the domain's files.
    #[serde(flatten)]
    pub sum: Sum,
}

/// A file, folder or link in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Domain of the entry.
    pub domain: String,
    /// Path of the entry in its domain.
    pub path: String,
    /// `file`, `folder`, `link` or `other`.
    pub kind: &'static str,
    /// Size in bytes.
    pub size: Option<u64>,
    /// `st_mode`: type and permissions.
    pub mode: Option<u32>,
    /// Last change of the contents, RFC 3339.
    pub modified: Option<String>,
    /// Target of a link.
    pub target: Option<String>,
    /// Name of the entry's bytes in the backup; `None` for a folder that appears only in other
    /// paths.
    pub file_id: Option<String>,
}

impl Entry {
    /// Returns the list's facts about an item. Damaged facts are left out, and the backup notes
    /// them.
    pub fn of(opened: &Backup, item: &Item) -> Entry {
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

    /// Returns an entry for a folder that has no row in the list.
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

/// Returns the domains, with the number and size of the files in each.
pub fn domains(opened: &Backup) -> Result<Domains, Error> {
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

/// Calls `each` for the contents of the folder at `path`, in the order of names, until it returns
/// false. With `recursive`, covers everything below the folder. If `path` is not a folder, calls
/// `each` for that item alone. Returns the number of calls.
pub fn list(
    opened: &Backup,
    domain: &str,
    path: &str,
    recursive: bool,
    each: impl FnMut(Entry) -> bool,
) -> Result<u64, Error> {
    let after = None;
    list_after(opened, domain, path, Part { recursive, after }, each)
}

/// The part of a folder's contents to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part<'a> {
    /// Cover everything below the folder.
    pub recursive: bool,
    /// Begin after this name. It is ignored if everything below the folder is covered.
    pub after: Option<&'a str>,
}

/// Calls `each` for a part of the contents of the folder at `path`, as [`list`] does for all of
/// them. The cost depends on the number of calls, and not on the number of files in the folder.
pub fn list_after(
    opened: &Backup,
    domain: &str,
    path: &str,
    part: Part<'_>,
    mut each: impl FnMut(Entry) -> bool,
) -> Result<u64, Error> {
    let Part { recursive, after } = part;
    let after = after.filter(|_| !recursive);
    if !recursive && let Some(count) = children(opened, domain, path, after, &mut each)? {
        return Ok(count);
    }
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
            if after.is_some_and(|after| child <= after) {
                return true;
            }
            let length = item.relative_path.len() - rest.len() + child.len();
            if child.len() == rest.len() {
                Entry::of(opened, &item)
            } else {
                Entry::implied(domain, &item.relative_path[..length])
            }
        };
        count += 1;
        each(entry)
    })?;
    if is_there {
        Ok(count)
    } else {
        Err(nothing_at(domain, path))
    }
}

/// Lists a folder by the index of paths. Returns `None` if that is not possible.
fn children(
    opened: &Backup,
    domain: &str,
    path: &str,
    after: Option<&str>,
    each: &mut dyn FnMut(Entry) -> bool,
) -> Result<Option<u64>, Error> {
    let folder = opened.find(domain, path)?;
    if (folder.as_ref()).is_some_and(|item| item.kind != Kind::Directory) {
        return Ok(None);
    }
    let mut count = 0;
    let is_read = opened.children(domain, path, after, |child| {
        count += 1;
        each(match child {
            Ok(item) => Entry::of(opened, &item),
            Err(path) => Entry::implied(domain, &path),
        })
    })?;
    let is_there = count > 0 || after.is_some() || folder.is_some();
    if is_read && !is_there {
        return Err(nothing_at(domain, path));
    }
    Ok(is_read.then_some(count))
}

/// Returns a path relative to the folder that it is in.
fn below<'a>(path: &'a str, folder: &str) -> &'a str {
    let rest = path.strip_prefix(folder).unwrap_or(path);
    if folder.is_empty() {
        rest
    } else {
        rest.strip_prefix('/').unwrap_or(rest)
    }
}

fn nothing_at(domain: &str, path: &str) -> Error {
    if domain.is_empty() {
        Error::NoDomainNamed(path.to_owned())
    } else if path.is_empty() {
        Error::NoDomain(domain.to_owned())
    } else {
        Error::NoPath {
            domain: domain.to_owned(),
            path: path.to_owned(),
        }
    }
}

/// Calls `each` for every selected item, in the order of the phone's list, until it returns false.
/// `domain` limits the search to the only domain that can match, if that is known. Returns the
/// number of calls.
pub fn find(
    opened: &Backup,
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

/// Contents of a folder, with the sum of everything below each part.
#[derive(Debug, Default)]
pub struct Tree {
    names: String,
    /// Nodes of the tree, each before its contents. The first is the folder itself.
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
    /// Name of the part.
    pub name: &'a str,
    /// True for a folder.
    pub is_folder: bool,
    /// Sum of the files in a folder; of a file, the file itself.
    pub sum: Sum,
    /// Flags that tell, for each folder around this part from the outermost inwards and then for
    /// the part itself, whether it is the last one in its folder. Empty for the tree's own folder.
    pub lasts: &'a [bool],
}

/// Greatest depth of a drawn tree. The paths of a phone have some twenty parts, and each level
/// widens all lines below it.
pub const DEPTH_MAX: u16 = 64;
/// Largest number of nodes of a tree.
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

    /// Returns true if there is room for an item whose path has this length in bytes.
    fn has_room(&self, bytes: usize) -> bool {
        self.names.len() + bytes <= TEXT_BYTES_MAX
            && self.nodes.len() + usize::from(DEPTH_MAX) <= NODES_MAX
    }

    fn name(&self, node: usize) -> &str {
        let name = &self.nodes[node].name;
        &self.names[name.start as usize..name.end as usize]
    }

    /// Adds an item. `open` holds the nodes on the path to the previous item, without the tree's
    /// own folder.
    fn put(&mut self, open: &mut Vec<usize>, path: &str, item: &Outline, depth_max: u16) {
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
                bytes: item.size,
            };
            self.nodes[0].sum.add(sum);
            open.iter().for_each(|node| self.nodes[*node].sum.add(sum));
        }
    }

    /// Marks the last part of each folder, walking backwards.
    fn end(&mut self) {
        let mut has_later = vec![false; usize::from(DEPTH_MAX) + 2];
        for node in self.nodes.iter_mut().rev() {
            let depth = usize::from(node.depth);
            node.is_last = !std::mem::replace(&mut has_later[depth], true);
            has_later[depth + 1] = false;
        }
    }

    /// Calls `each` for every part from the top down, until it returns false.
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

/// Calls `each` with the tree of a domain at `path`, or, without a domain, with the tree of every
/// domain, until it returns false. Items deeper than `depth_max` count for the folder at that
/// depth.
pub fn tree(
    opened: &Backup,
    domain: Option<&str>,
    path: &str,
    depth_max: u16,
    mut each: impl FnMut(Tree) -> bool,
) -> Result<(), Error> {
    let depth_max = depth_max.min(DEPTH_MAX);
    let mut current: Option<(String, Tree)> = None;
    let mut open = Vec::new();
    let (mut goes_on, mut too_large) = (true, false);
    opened.outlines(domain, path, |item| {
        let is_next = (current.as_ref()).is_none_or(|(domain, _)| *domain != item.domain);
        if is_next {
            if let Some((_, mut whole)) = current.take() {
                whole.end();
                goes_on = each(whole);
            }
            let name = if path.is_empty() {
                item.domain.clone()
            } else {
                format!("{}/{path}", item.domain)
            };
            open.clear();
            current = Some((item.domain.clone(), Tree::new(&name)));
        }
        if let Some((_, tree)) = &mut current {
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
        return Err(Error::TreeTooLarge);
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
