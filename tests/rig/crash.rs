//! Models a file system in memory, and computes the states in which a power cut may leave it.
//!
//! A program's changes to a real folder are replayed from the log of its system calls. POSIX
//! promises little: bytes written to a file are on the disk after `fsync` of the file, and its name
//! after `fsync` of the folder; `syncfs` makes everything durable. A power cut may keep or lose
//! each other change independently. The model assumes two more guarantees, which every journaling
//! file system gives: a rename happens completely or not at all, and two changes of one name happen
//! in their order.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use super::Random;
use super::strace::Call;

/// All Linux system calls that change files. A call on the folder that [`Recording`] does not
/// support fails the test.
const TRACED: &str = "?open,openat,?openat2,?creat,write,pwrite64,?pwritev,?pwritev2,writev,lseek,ftruncate,?truncate,\
     fallocate,copy_file_range,sendfile,splice,?rename,?renameat,renameat2,?link,linkat,?unlink,unlinkat,?mkdir,mkdirat,\
     ?rmdir,?symlink,symlinkat,?mknod,mknodat,fsync,fdatasync,?sync_file_range,syncfs,sync,ioctl,mmap,?io_uring_setup";

/// Returns the options that strace needs for a [`Recording`].
pub fn options() -> Vec<String> {
    let mut options = vec!["-s".to_owned(), (4 << 20).to_string()];
    options.extend(["-e".to_owned(), format!("trace={TRACED}")]);
    options
}

type Node = usize;

/// The node of the root folder.
const ROOT: Node = 0;

/// The contents of a file; bytes from the end of `bytes` up to `length` are zeros.
#[derive(Debug, Clone, Default)]
struct Contents {
    bytes: Vec<u8>,
    length: u64,
}

impl Contents {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let start = usize::try_from(offset).unwrap();
        let end = start + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[start..end].copy_from_slice(bytes);
        self.length = self.length.max(end as u64);
    }

    fn cut(&mut self, length: u64) {
        self.length = length;
        let kept = usize::try_from(length).unwrap_or(usize::MAX);
        self.bytes.truncate(kept);
    }
}

/// A file system tree: folders with names, and files with contents.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    folders: HashMap<Node, BTreeMap<String, Node>>,
    files: HashMap<Node, Contents>,
}

impl Disk {
    fn read(root: &Path) -> Disk {
        let mut disk = Disk::default();
        let mut known = HashMap::new();
        disk.read_folder(root, ROOT, &mut known, &mut 1);
        disk
    }

    fn read_folder(
        &mut self,
        folder: &Path,
        node: Node,
        known: &mut HashMap<u64, Node>,
        next: &mut Node,
    ) {
        use std::os::unix::fs::MetadataExt;
        self.folders.insert(node, BTreeMap::new());
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let child = *known.entry(meta.ino()).or_insert_with(|| {
                *next += 1;
                *next - 1
            });
            let name = entry.file_name().into_string().unwrap();
            self.folders.get_mut(&node).unwrap().insert(name, child);
            if meta.is_dir() {
                self.read_folder(&entry.path(), child, known, next);
            } else {
                let bytes = fs::read(entry.path()).unwrap();
                let length = bytes.len() as u64;
                self.files.insert(child, Contents { bytes, length });
            }
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Names(names) => {
                for (folder, name, node) in names {
                    let folder = self.folders.get_mut(folder).unwrap();
                    match node {
                        Some(node) => folder.insert(name.clone(), *node),
                        None => folder.remove(name),
                    };
                }
            }
            Change::Bytes(file, offset, bytes) => self.contents(*file).write(*offset, bytes),
            Change::Length(file, length) => self.contents(*file).cut(*length),
        }
    }

    fn contents(&mut self, file: Node) -> &mut Contents {
        self.files.get_mut(&file).unwrap()
    }

    fn find(&self, folder: Node, name: &str) -> Option<Node> {
        self.folders[&folder].get(name).copied()
    }

    /// Returns every path below the root with its node, folders first.
    fn walk(&self) -> Vec<(PathBuf, Node)> {
        let mut found = Vec::new();
        let mut open = vec![(PathBuf::new(), ROOT)];
        while let Some((path, folder)) = open.pop() {
            for (name, node) in &self.folders[&folder] {
                found.push((path.join(name), *node));
                if self.folders.contains_key(node) {
                    open.push((path.join(name), *node));
                }
            }
        }
        found
    }

    /// Returns a hash of the disk; equal disks have equal hashes.
    pub fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, node) in self.walk() {
            (path, node).hash(&mut hasher);
            if let Some(file) = self.files.get(&node) {
                (&file.bytes, file.length).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Writes the disk to an empty real folder.
    pub fn write_to(&self, root: &Path) {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        let mut made: HashMap<Node, PathBuf> = HashMap::new();
        for (path, node) in self.walk() {
            let path = root.join(path);
            let Some(file) = self.files.get(&node) else {
                fs::DirBuilder::new().mode(0o700).create(path).unwrap();
                continue;
            };
            if let Some(first) = made.get(&node) {
                fs::hard_link(first, path).unwrap();
                continue;
            }
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let mut real = options.open(&path).unwrap();
            real.write_all(&file.bytes).unwrap();
            real.set_len(file.length).unwrap();
            real.seek(SeekFrom::Start(0)).unwrap();
            made.insert(node, path);
        }
    }
}

/// A change to the disk that happens completely or not at all.
#[derive(Debug, Clone)]
enum Change {
    /// Names in folders get other nodes, or are removed.
    Names(Vec<(Node, String, Option<Node>)>),
    /// Bytes are written to a file, from an offset on.
    Bytes(Node, u64, Vec<u8>),
    /// A file is truncated, or extended with zeros.
    Length(Node, u64),
}

impl Change {
    fn is_of(&self, flushed: Node) -> bool {
        match self {
            Change::Names(names) => names.iter().any(|(folder, ..)| *folder == flushed),
            Change::Bytes(file, ..) | Change::Length(file, _) => *file == flushed,
        }
    }

    fn names(&self) -> &[(Node, String, Option<Node>)] {
        match self {
            Change::Names(names) => names,
            _ => &[],
        }
    }

    fn shares_a_name(&self, other: &Change) -> bool {
        let same = |(folder, name, _): &(Node, String, Option<Node>)| {
            other
                .names()
                .iter()
                .any(|(f, n, _)| f == folder && n == name)
        };
        self.names().iter().any(same)
    }
}

#[derive(Debug)]
enum Event {
    Change(Change),
    Flush(Node),
    FlushAll,
}

/// Selects the unflushed changes that a power cut loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Loses nothing: all changes had reached the disk.
    KeepsAll,
    /// Loses all of them.
    LosesAll,
    /// Keeps names, in their order, and loses the bytes of files: some files become empty, others
    /// hold zeros.
    LosesBytes,
    /// Keeps or loses each change independently; the number is the seed.
    Shuffles(u64),
}

struct Open {
    node: Node,
    position: u64,
    appends: bool,
}

/// The initial state of a disk, and all changes that a program made to it.
pub struct Recording {
    root: PathBuf,
    start: Disk,
    events: Vec<Event>,
    /// For each event, the index of the event that made its change durable.
    durable_at: Vec<usize>,
    now: Disk,
    open: HashMap<i32, Open>,
    nodes: Node,
}

impl Recording {
    /// Starts a recording of the disk in its present state; its root is a real folder.
    pub fn begin(root: &Path) -> Recording {
        let start = Disk::read(root);
        let nodes = start.walk().iter().map(|(_, node)| node + 1).max();
        Recording {
            root: root.to_path_buf(),
            now: start.clone(),
            start,
            events: Vec::new(),
            durable_at: Vec::new(),
            open: HashMap::new(),
            nodes: nodes.unwrap_or(1),
        }
    }

    /// Replays a program's calls. The result must equal the contents of the real folder.
    pub fn replay(&mut self, calls: &[Call]) {
        for call in calls {
            self.step(call);
        }
        let listed = |disk: &Disk| -> BTreeMap<PathBuf, Option<Vec<u8>>> {
            let paths = disk.walk().into_iter();
            let bytes = |node| disk.files.get(&node).map(|file| file.bytes.clone());
            paths.map(|(path, node)| (path, bytes(node))).collect()
        };
        let (model, real) = (listed(&self.now), listed(&Disk::read(&self.root)));
        let differs = |path: &&PathBuf| model.get(*path) != real.get(*path);
        let paths: Vec<_> = model.keys().chain(real.keys()).filter(differs).collect();
        assert!(paths.is_empty(), "the log does not explain {paths:?}");
        self.note_what_was_flushed();
    }

    /// Returns the number of moments at which the power can be cut: before the first event, and
    /// after each event.
    pub fn moments(&self) -> usize {
        self.events.len() + 1
    }

    /// Returns the moment after the last `syncfs`, when sealing begins.
    pub fn last_flush_of_all(&self) -> usize {
        let last = self
            .events
            .iter()
            .rposition(|e| matches!(e, Event::FlushAll));
        last.unwrap_or(0)
    }

    /// Returns a disk as a power cut after `moment` events leaves it.
    pub fn cut(&self, moment: usize, cut: Cut) -> Disk {
        let mut disk = self.start.clone();
        for event in &self.events[..moment] {
            if let Event::Change(Change::Names(names)) = event {
                for node in names.iter().filter_map(|(.., node)| *node) {
                    self.prepare(&mut disk, node);
                }
            }
        }
        let mut random = Random::new(match cut {
            Cut::Shuffles(seed) => seed,
            _ => 0,
        });
        // Some power cuts lose many changes, others few.
        let kept_percent = [30, 70, 95][random.below(3)];
        let mut habits: HashMap<Node, usize> = HashMap::new();
        let mut lost: Vec<&Change> = Vec::new();
        for (at, event) in self.events[..moment].iter().enumerate() {
            let Event::Change(change) = event else {
                continue;
            };
            if self.durable_at[at] < moment || cut == Cut::KeepsAll {
                disk.apply(change);
                continue;
            }
            match change {
                Change::Names(_) => {
                    let kept = match cut {
                        Cut::LosesAll => false,
                        Cut::Shuffles(_) => {
                            random.below(100) < kept_percent
                                && !lost.iter().any(|earlier| earlier.shares_a_name(change))
                        }
                        Cut::KeepsAll | Cut::LosesBytes => true,
                    };
                    if kept {
                        disk.apply(change)
                    } else {
                        lost.push(change)
                    }
                }
                Change::Bytes(file, ..) | Change::Length(file, _) => {
                    let habit = *habits.entry(*file).or_insert_with(|| match cut {
                        Cut::LosesAll => 0,
                        Cut::Shuffles(_) => random.below(4),
                        // Chosen by the parity of the node, so that fewer of the resulting disks
                        // differ only in this.
                        Cut::KeepsAll | Cut::LosesBytes => *file % 2,
                    });
                    lose_bytes(&mut disk, change, habit, &mut random);
                }
            }
        }
        disk
    }

    /// Creates a node that the program made, which must exist before a name for it does.
    fn prepare(&self, disk: &mut Disk, node: Node) {
        if self.now.folders.contains_key(&node) {
            disk.folders.entry(node).or_default();
        } else {
            disk.files.entry(node).or_default();
        }
    }

    fn note_what_was_flushed(&mut self) {
        let mut durable_at = vec![usize::MAX; self.events.len()];
        for (now, event) in self.events.iter().enumerate() {
            let is_flushed = |change: &Change| match event {
                Event::Change(_) => false,
                Event::Flush(node) => change.is_of(*node),
                Event::FlushAll => true,
            };
            // Go backwards: a change of a name also needs the earlier changes of that name.
            let mut needed: Vec<&Change> = Vec::new();
            for before in (0..now).rev() {
                let Event::Change(change) = &self.events[before] else {
                    continue;
                };
                let is_needed = || needed.iter().any(|later| later.shares_a_name(change));
                if durable_at[before] == usize::MAX && (is_flushed(change) || is_needed()) {
                    durable_at[before] = now;
                    if !matches!(event, Event::FlushAll) {
                        needed.push(change);
                    }
                }
            }
        }
        self.durable_at = durable_at;
    }

    fn change(&mut self, change: Change) {
        self.now.apply(&change);
        self.events.push(Event::Change(change));
    }

    fn node(&mut self) -> Node {
        self.nodes += 1;
        self.nodes - 1
    }

    /// Returns the folder and the name of a path, if it is below the root.
    fn place(&self, path: &Path) -> Option<(Node, String)> {
        let below = path.strip_prefix(&self.root).ok()?;
        let mut parts: Vec<String> = Vec::new();
        for part in below.components() {
            match part {
                Component::Normal(name) => parts.push(name.to_str().unwrap().to_owned()),
                Component::CurDir => {}
                other => panic!("{other:?} in {}", path.display()),
            }
        }
        let name = parts.pop()?;
        let mut folder = ROOT;
        for part in &parts {
            folder = self
                .now
                .find(folder, part)
                .unwrap_or_else(|| panic!("{}: {part} is not there", path.display()));
        }
        Some((folder, name))
    }

    fn at(&self, path: &Path) -> Option<Node> {
        if path == self.root {
            return Some(ROOT);
        }
        let (folder, name) = self.place(path)?;
        let found = self.now.find(folder, &name);
        Some(found.unwrap_or_else(|| panic!("{} is not there", path.display())))
    }

    /// Returns the open file that an argument names, if it is below the root.
    fn file(&mut self, call: &Call, at: usize) -> Option<&mut Open> {
        let (number, path) = call.file(at);
        if !path.starts_with(&self.root) {
            return None;
        }
        let open = self.open.get_mut(&number);
        Some(open.unwrap_or_else(|| panic!("nothing opened this: {call:?}")))
    }

    fn step(&mut self, call: &Call) {
        match call.name.as_str() {
            "open" | "creat" => self.opened(call, call.path(0), &call.args[1]),
            "openat" => self.opened(call, call.path_at(0, 1), &call.args[2]),
            "write" => self.written(call),
            "lseek" => {
                if let Some(open) = self.file(call, 0) {
                    open.position = call.result.parse().unwrap();
                }
            }
            "ftruncate" => {
                if let Some(Open { node, .. }) = self.file(call, 0) {
                    let change = Change::Length(*node, call.number(1));
                    self.change(change);
                }
            }
            "copy_file_range" => {
                assert_eq!((&*call.args[1], &*call.args[3]), ("NULL", "NULL"));
                self.copied(call, 0, 2);
            }
            "sendfile" => {
                assert_eq!(&call.args[2], "NULL");
                self.copied(call, 1, 0);
            }
            "rename" => self.renamed(&call.path(0), &call.path(1), ""),
            "renameat" => self.renamed(&call.path_at(0, 1), &call.path_at(2, 3), ""),
            "renameat2" => {
                self.renamed(&call.path_at(0, 1), &call.path_at(2, 3), &call.args[4]);
            }
            "link" => self.linked(&call.path(0), &call.path(1)),
            "linkat" => self.linked(&call.path_at(0, 1), &call.path_at(2, 3)),
            "unlink" | "rmdir" => self.named(&call.path(0), |_| None),
            "unlinkat" => self.named(&call.path_at(0, 1), |_| None),
            "mkdir" => self.folder_made(&call.path(0)),
            "mkdirat" => self.folder_made(&call.path_at(0, 1)),
            "fsync" | "fdatasync" => {
                if let Some(Open { node, .. }) = self.file(call, 0) {
                    let flush = Event::Flush(*node);
                    self.events.push(flush);
                }
            }
            "syncfs" => {
                if self.file(call, 0).is_some() {
                    self.events.push(Event::FlushAll);
                }
            }
            // Only a shared mapping writes to the file, and only with PROT_WRITE.
            "mmap" if !call.args[3].contains("MAP_SHARED") || !call.args[2].contains("WRITE") => {}
            _ => self.assert_not_ours(call),
        }
    }

    /// Asserts that a call that this file system does not know does not touch the folder.
    fn assert_not_ours(&self, call: &Call) {
        let paths = call.args.iter().flat_map(|arg| {
            let quoted = arg.starts_with('"').then(|| arg.trim_matches('"'));
            let opened = || Some(arg.strip_suffix('>')?.split_once('<')?.1);
            quoted.or_else(opened)
        });
        let root: String = self
            .root
            .to_str()
            .unwrap()
            .bytes()
            .map(|b| format!("\\x{b:02x}"))
            .collect();
        let mut ours = paths.filter(|path| path.contains(&root));
        assert_eq!(ours.next(), None, "a call that nobody here knows: {call:?}");
    }

    fn opened(&mut self, call: &Call, path: PathBuf, flags: &str) {
        if !path.starts_with(&self.root) {
            return;
        }
        let flags: Vec<&str> = match call.name.as_str() {
            "creat" => vec!["O_CREAT", "O_TRUNC"],
            _ => flags.split('|').collect(),
        };
        let new = match self.place(&path) {
            Some((folder, name)) if self.now.find(folder, &name).is_none() => Some((folder, name)),
            _ => None,
        };
        if let Some((folder, name)) = new {
            assert!(flags.contains(&"O_CREAT"), "it is not there: {call:?}");
            let node = self.node();
            self.now.files.insert(node, Contents::default());
            self.change(Change::Names(vec![(folder, name, Some(node))]));
        }
        let node = self.at(&path).unwrap();
        if flags.contains(&"O_TRUNC") {
            self.change(Change::Length(node, 0));
        }
        let open = Open {
            node,
            position: 0,
            appends: flags.contains(&"O_APPEND"),
        };
        self.open.insert(call.opened(), open);
    }

    fn written(&mut self, call: &Call) {
        let Some(&mut Open {
            node,
            position,
            appends,
        }) = self.file(call, 0)
        else {
            return;
        };
        let offset = if appends {
            self.now.files[&node].length
        } else {
            position
        };
        let length: usize = call.result.parse().unwrap();
        let mut bytes = call.bytes(1);
        bytes.truncate(length);
        assert_eq!(bytes.len(), length, "{}", call.name);
        self.file(call, 0).unwrap().position = offset + length as u64;
        self.change(Change::Bytes(node, offset, bytes));
    }

    fn copied(&mut self, call: &Call, from: usize, to: usize) {
        let place = |open: &mut Open| (open.node, open.position);
        let source = self.file(call, from).map(place);
        let target = self.file(call, to).map(place);
        let (source, (target, offset)) = match (source, target) {
            (Some(source), Some(target)) => (source, target),
            (None, None) => return,
            _ => panic!("copied into it or out of it: {call:?}"),
        };
        let length: usize = call.result.parse().unwrap();
        let start = usize::try_from(source.1).unwrap();
        let bytes = self.now.files[&source.0].bytes[start..start + length].to_vec();
        self.file(call, from).unwrap().position += length as u64;
        self.file(call, to).unwrap().position += length as u64;
        self.change(Change::Bytes(target, offset, bytes));
    }

    fn renamed(&mut self, from: &Path, to: &Path, flags: &str) {
        let (Some(source), Some(target)) = (self.place(from), self.place(to)) else {
            let inside = from.starts_with(&self.root) || to.starts_with(&self.root);
            assert!(!inside, "{from:?} is renamed to {to:?}");
            return;
        };
        let node = self.at(from);
        let behind = match flags {
            "RENAME_EXCHANGE" => self.at(to),
            "" | "RENAME_NOREPLACE" => None,
            other => panic!("a rename with {other}"),
        };
        self.change(Change::Names(vec![
            (source.0, source.1, behind),
            (target.0, target.1, node),
        ]));
    }

    fn linked(&mut self, from: &Path, to: &Path) {
        if let Some(node) = self.place(from).and_then(|_| self.at(from)) {
            self.named(to, |_| Some(node));
        }
    }

    fn folder_made(&mut self, path: &Path) {
        self.named(path, |this| {
            let node = this.node();
            this.now.folders.insert(node, BTreeMap::new());
            Some(node)
        });
    }

    fn named(&mut self, path: &Path, node: impl FnOnce(&mut Recording) -> Option<Node>) {
        if let Some((folder, name)) = self.place(path) {
            let node = node(self);
            self.change(Change::Names(vec![(folder, name, node)]));
        }
    }
}

/// Applies a change whose bytes were not flushed. By `habit`, the bytes are lost, zeros, only the
/// first half, or all there.
fn lose_bytes(disk: &mut Disk, change: &Change, habit: usize, random: &mut Random) {
    match (habit, change) {
        (0, _) => {}
        (1, Change::Bytes(file, offset, bytes)) => {
            disk.contents(*file).write(*offset, &vec![0; bytes.len()]);
        }
        (2, Change::Bytes(file, offset, bytes)) => {
            let half = &bytes[..random.below(bytes.len() + 1)];
            disk.contents(*file).write(*offset, half);
        }
        _ => disk.apply(change),
    }
}
