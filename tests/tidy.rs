//! Enforces the rules of the source tree: which modules may import which, how long a file may be,
//! and what must not be in the tree.
//!
//! A new dependency between modules is a decision: change [`MAY_IMPORT`] and docs/ARCHITECTURE.md
//! in the same commit.

use std::fs;
use std::path::{Path, PathBuf};

/// The permitted imports of each module, a file or folder directly under src/. The binary's files
/// are the module `cli`.
#[rustfmt::skip]
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("base",          &[]),
    // the phone: bytes, a paired phone, the backup protocol, and recordings of the traffic
    ("trace",         &["base"]),
    ("transport",     &["base", "trace"]),
    ("device",        &["base", "transport", "trace"]),
    ("mobilebackup",  &["base", "transport"]),
    // the disk: the store, Apple's formats, and reading
    ("store",         &["base"]),
    ("backup_format", &["base"]),
    ("reader",        &["base", "backup_format", "store"]),
    ("content",       &["base", "backup_format", "reader"]),
    ("export",        &["base", "backup_format", "store", "reader", "content"]),
    ("verify",        &["base", "backup_format", "store", "reader"]),
    ("history",       &["base", "backup_format", "store", "reader", "verify"]),
    // the actions, which join the two
    ("backup",        &["base", "transport", "device", "mobilebackup", "backup_format", "store", "reader", "verify", "history", "encryption"]),
    ("encryption",    &["base", "transport", "device", "mobilebackup", "store", "reader", "history", "backup"]),
    ("restore",       &["base", "transport", "device", "mobilebackup", "backup_format", "store", "reader", "verify", "history", "backup",
                        "doctor", "simulator"]),
    ("doctor",        &["base", "transport", "device", "mobilebackup", "store", "history", "backup", "automation"]),
    ("automation",    &["base", "transport", "device", "mobilebackup", "store", "history", "backup"]),
    // copies of backups elsewhere
    ("repository",    &["base", "backup_format", "store", "reader", "verify", "history"]),
    // pages that show backups in a browser, and act on them
    ("web",           &["base", "device", "backup_format", "store", "reader", "content", "export", "verify", "history", "backup", "restore",
                        "automation", "repository"]),
    // the simulated phone
    ("simulator",     &["base", "transport", "mobilebackup", "backup_format", "trace"]),
    // the binary: src/main.rs and src/cli/
    ("cli",           &["base", "transport", "device", "mobilebackup", "backup_format", "store", "reader", "content", "export", "verify", "history",
                        "backup", "encryption", "restore", "doctor", "automation", "trace", "simulator", "web", "repository"]),
];

/// The maximum number of lines of a source file.
const LINES_MAX: usize = 1_000;

/// Assembled from parts, so that this file does not contain the patterns itself.
const UNFINISHED: &[&str] = &[
    concat!("#[", "ignore"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
];

#[test]
fn modules_import_only_what_the_table_allows() {
    let mut faults = Vec::new();
    for file in below("src").filter(|file| file.name != "src/lib.rs") {
        let Some(allowed) = allowed(module_of(&file.name)) else {
            faults.push(format!(
                "{}: module `{}` is not in MAY_IMPORT",
                file.name,
                module_of(&file.name)
            ));
            continue;
        };
        for (line, other) in imports(&file.name, &file.text()) {
            if !allowed.contains(&other.as_str()) {
                faults.push(format!(
                    "{}:{line}: {} -> {other} is not in MAY_IMPORT",
                    file.name,
                    module_of(&file.name)
                ));
            }
        }
    }
    none(faults);
}

#[test]
fn every_source_file_says_what_it_is_and_is_short() {
    let mut faults = Vec::new();
    for file in below("src") {
        let text = file.text();
        if file.name.ends_with(".rs") && !text.starts_with("//!") {
            faults.push(format!("{}:1: does not open with `//!`", file.name));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!(
                "{}: {lines} lines, more than {LINES_MAX}",
                file.name
            ));
        }
    }
    none(faults);
}

/// Checks that docs/ARCHITECTURE.md names every file of the library.
#[test]
fn architecture_names_every_file() {
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let words: Vec<&str> = page
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let mut faults = Vec::new();
    let of_library = |file: &File| file.name.ends_with(".rs") && !file.name.starts_with("src/cli/");
    for file in below("src").filter(of_library) {
        let path = file.name.trim_end_matches(".rs").trim_end_matches("/mod");
        let stem = path.rsplit('/').next().unwrap_or(path);
        if !words.contains(&stem) {
            faults.push(format!(
                "{}: docs/ARCHITECTURE.md does not name it",
                file.name
            ));
        }
    }
    none(faults);
}

#[test]
fn nothing_is_left_unfinished_or_switched_off() {
    let mut faults = Vec::new();
    for file in below("src").chain(below("tests").filter(|file| file.name.ends_with(".rs"))) {
        for word in UNFINISHED {
            faults.extend(file.lines_with(word));
        }
    }
    none(faults);
}

#[test]
fn only_the_command_line_prints() {
    let mut faults = Vec::new();
    for file in below("src").filter(|file| !file.name.starts_with("src/cli/")) {
        for (line, code) in (1..).zip(code(&file.text()).lines()) {
            if code.contains("print!(") || code.contains("println!(") {
                faults.push(format!("{}:{line}: prints outside src/cli/", file.name));
            }
        }
    }
    none(faults);
}

/// Checks that no text of the library names a command, an option, a variable or a config key of the
/// program. Advice that does is in src/cli/hints.
#[test]
fn library_names_no_command_or_option() {
    // The one file that must know the variables with secrets: it keeps them from other programs.
    const EXEMPT: &str = "src/base/child.rs";
    let texts = regex(&format!(
        "idev-backup ({commands})\\b|`({commands})[ `]|(^|[ `(\"'])--[a-z]|IDEV_BACKUP_|\\b({keys})\\b",
        commands = commands().join("|"),
        keys = config_keys().join("|"),
    ));
    // A literal that is nothing but an option is an argument of another program.
    let argument = regex("^--[a-z-]+(=.*)?$");
    let mut faults = Vec::new();
    for file in below("src").filter(|f| !f.name.starts_with("src/cli/") && f.name != EXEMPT) {
        let text = file.text();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for (line, literal) in literals(code) {
            if !argument.is_match(&literal) && texts.is_match(&literal) {
                faults.push(format!("{}:{line}: {literal:?}", file.name));
            }
        }
    }
    none(faults);
}

#[test]
fn literals_are_found_in_code() {
    let code = "// \"no\"\nf(\"a \\\n   b\", '\"', 'c', r#\"d \"e\"\"#); /* \"no\" */ g::<'f>(\"\\\"//\");";
    let found: Vec<(usize, String)> = literals(code);
    let expected = [(2, "a b"), (3, "d \"e\""), (3, "\\\"//")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    assert!(commands().contains(&"udev-rule".to_owned()) && commands().len() > 30);
    assert!(
        config_keys()
            .iter()
            .any(|key| key == "retention\\.keep-last")
    );
}

/// Checks that only one file starts programs: a child started elsewhere would inherit the passwords
/// in the environment.
#[test]
fn only_one_file_starts_programs() {
    let mut faults = Vec::new();
    for file in below("src").filter(|file| file.name != "src/base/child.rs") {
        faults.extend(file.lines_with(concat!("Command::", "new(")));
    }
    none(faults);
}

/// Cargo.toml denies it; this is the one module that may allow it, with what must hold at its top.
#[test]
fn only_one_module_is_unsafe() {
    let mut faults = Vec::new();
    let words = [
        concat!("allow(", "unsafe_code"),
        concat!("uns", "afe {"),
        concat!("uns", "afe impl"),
    ];
    for file in below("src").filter(|file| file.name != "src/transport/usb/bulk.rs") {
        for word in words {
            faults.extend(file.lines_with(word));
        }
    }
    none(faults);
}

/// Checks that every fixture, an entry of fixtures/KIND/, is named by a test. An entry that is a
/// folder is named as a whole.
#[test]
fn every_fixture_is_named_by_a_test() {
    let tests: String = below("tests")
        .chain(below("src"))
        .map(|file| file.text())
        .collect();
    let mut faults = Vec::new();
    for file in below("fixtures").filter(|file| file.name != "fixtures/README.md") {
        let mut parts = file.name.split('/').skip(1);
        let (kind, name) = (parts.next().unwrap_or_default(), parts.next());
        if !tests.contains(name.unwrap_or(kind)) {
            faults.push(format!("{}: no test names it", file.name));
        }
    }
    none(faults);
}

#[test]
fn every_target_of_the_package_has_its_file() {
    let mut faults = Vec::new();
    for (line, path) in target_paths(&fs::read_to_string(root().join("Cargo.toml")).unwrap()) {
        match path {
            Some(path) if root().join(&path).is_file() => {}
            Some(path) => faults.push(format!("Cargo.toml:{line}: {path} does not exist")),
            None => faults.push(format!("Cargo.toml:{line}: a target without `path`")),
        }
    }
    none(faults);
}

/// Checks the table in `.ci/run`, which runs every test group for a path without a row, and no test
/// for a module that does not exist.
#[test]
fn every_path_has_its_lanes() {
    let script = fs::read_to_string(root().join(".ci/run")).unwrap();
    let known = script
        .lines()
        .find_map(|line| line.strip_prefix("lanes_known=("));
    let known: Vec<&str> = known.unwrap().trim_end_matches(')').split(' ').collect();
    let mut faults = Vec::new();
    let mut patterns = Vec::new();
    for line in fs::read_to_string(root().join(".ci/lanes"))
        .unwrap()
        .lines()
    {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (pattern, rest) = line.split_once(' ').unwrap();
        let (lanes, modules) = rest.trim_start().split_once("  ").unwrap();
        for lane in lanes.split(' ') {
            if lane != "all" && !known.contains(&lane) {
                faults.push(format!("{pattern}: `.ci/run` knows no lane {lane}"));
            }
        }
        for module in modules.split_whitespace() {
            let is_there = root().join(format!("tests/{module}.rs")).exists();
            if !["-", "changed"].contains(&module) && !is_there {
                faults.push(format!("{pattern}: tests/{module}.rs does not exist"));
            }
        }
        patterns.push(globset::Glob::new(pattern).unwrap().compile_matcher());
    }
    for file in below("") {
        if !patterns.iter().any(|pattern| pattern.is_match(&file.name)) {
            faults.push(format!("{}: no row of .ci/lanes matches it", file.name));
        }
    }
    none(faults);
}

/// Checks that no file refers to the folders of one machine.
#[test]
fn no_file_speaks_of_one_machines_folders() {
    let needle = concat!("/wo", "rk/");
    let mut faults = Vec::new();
    for file in below("") {
        for (line, text) in (1..).zip(file.text().lines()) {
            let absolute = |at: usize| {
                let before = text[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || "._-~})".contains(c))
            };
            if text.match_indices(needle).any(|(at, _)| absolute(at)) {
                faults.push(format!(
                    "{}:{line}: a path of one person's machine: {}",
                    file.name,
                    text.trim()
                ));
            }
        }
    }
    none(faults);
}

#[test]
fn imports_are_seen_in_every_form() {
    let seen = |file: &str, text: &str| {
        imports(file, text)
            .into_iter()
            .map(|(_, name)| name)
            .collect::<Vec<_>>()
    };
    let store = "src/store/draft.rs";
    assert_eq!(seen(store, "use crate::device::Phone;"), ["device"]);
    assert_eq!(seen(store, "    crate::device::list()?;"), ["device"]);
    assert_eq!(seen(store, "pub use idev_backup::device;"), ["device"]);
    assert_eq!(
        seen(
            store,
            "use crate::{\n    device::{self, Phone},\n    simulator,\n};"
        ),
        ["device", "simulator"]
    );
    assert_eq!(seen(store, "use super::super::device::Phone;"), ["device"]);
    assert_eq!(seen("src/store/mod.rs", "use super::device;"), ["device"]);
    assert_eq!(seen("src/store.rs", "use super::{device, path};").len(), 2);
    assert_eq!(seen(store, "use crate::*;"), ["*"]);
    assert_eq!(
        imports(store, "\n\nuse crate::{\n    device,\n};"),
        [(4, "device".to_string())]
    );

    let none: [&str; 0] = [];
    assert_eq!(seen(store, "/// See [`crate::device`]."), none);
    assert_eq!(seen(store, "use crate::store::fs;"), none);
    assert_eq!(seen(store, "use super::device;"), none);
    assert_eq!(
        seen(
            "src/store.rs",
            "mod tests {\n    use super::{device, path};\n}"
        ),
        none
    );
    assert_eq!(seen("src/cli/mod.rs", "use crate::cli::output;"), none);
    assert_eq!(seen("src/main.rs", "use idev_backup::store;"), ["store"]);
}

#[test]
fn targets_without_a_file_are_seen() {
    let paths = target_paths(
        "[[bench]]\nname = \"a\"\npath = \"tests/bench/a.rs\"\n\n[[bench]]\nname = \"b\"\n",
    );
    assert_eq!(paths, [(1, Some("tests/bench/a.rs".into())), (5, None)]);
}

/// A text file of the tree; its name has the form that git uses.
struct File {
    name: String,
}

impl File {
    fn text(&self) -> String {
        fs::read_to_string(root().join(&self.name)).unwrap_or_default() // what is not UTF-8 has no lines to judge
    }

    fn lines_with(&self, word: &str) -> Vec<String> {
        let text = self.text();
        let lines = (1..)
            .zip(text.lines())
            .filter(|(_, line)| line.contains(word));
        lines
            .map(|(number, _)| format!("{}:{number}: {word}", self.name))
            .collect()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every file below a folder of the tree, sorted, without build results and git's own
/// files.
fn below(folder: &str) -> impl Iterator<Item = File> {
    fn walk(folder: &Path, name: &str, found: &mut Vec<File>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let leaf = entry.file_name().into_string().unwrap();
            if ["target", ".git"].contains(&leaf.as_str()) {
                continue;
            }
            let name = if name.is_empty() {
                leaf
            } else {
                format!("{name}/{leaf}")
            };
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &name, found);
            } else {
                found.push(File { name });
            }
        }
    }
    let mut found = Vec::new();
    let path = root().join(folder);
    if path.is_dir() {
        walk(&path, folder, &mut found);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.into_iter()
}

/// Returns the module of a file: `src/store/draft.rs` -> `store`. The binary's files are the module
/// `cli`.
fn module_of(file: &str) -> &str {
    let name = file.split('/').nth(1).unwrap_or_default();
    match name.strip_suffix(".rs").unwrap_or(name) {
        "main" => "cli",
        module => module,
    }
}

/// Returns the names of the program's commands, by their files, and of those that share a file.
fn commands() -> Vec<String> {
    let shared = ["unpin", "unpair", "completions", "man"].map(str::to_owned);
    let files = fs::read_dir(root().join("src/cli/commands")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names = names.map(|name| name.trim_end_matches(".rs").replace('_', "-"));
    names.filter(|name| name != "mod").chain(shared).collect()
}

/// Returns the keys of the config file, as patterns.
fn config_keys() -> Vec<String> {
    let table = fs::read_to_string(root().join("src/cli/args/config/keys.rs")).unwrap();
    let key = regex("\"([a-z]+)\\.([a-z-]+)\"");
    key.captures_iter(&table)
        .map(|found| format!("{}\\.{}", &found[1], &found[2]))
        .collect()
}

/// Returns the string literals of some code, with the line of each. A line break that a backslash
/// escapes is no part of them.
fn literals(code: &str) -> Vec<(usize, String)> {
    let token = regex(concat!(
        r#"//[^\n]*|(?s:/\*.*?\*/)|'(?:\\.[^']*|[^'\\])'"#,
        r##"|r#+"(?s:(?P<raw>.*?))"#+|"(?P<text>(?s:\\.|[^"\\])*)""##
    ));
    let wrapped = regex(r"\\\n\s*");
    let literal = |found: regex::Captures<'_>| {
        let text = found.name("raw").or(found.name("text"))?;
        let line = code[..text.start()].matches('\n').count() + 1;
        Some((line, wrapped.replace_all(text.as_str(), "").into_owned()))
    };
    token.captures_iter(code).filter_map(literal).collect()
}

fn regex(pattern: &str) -> regex::Regex {
    regex::Regex::new(pattern).unwrap()
}

fn allowed(module: &str) -> Option<&'static [&'static str]> {
    let (_, listed) = MAY_IMPORT.iter().find(|(name, _)| *name == module)?;
    Some(listed)
}

/// Returns the other modules that a file imports, with the line of each import.
fn imports(file: &str, text: &str) -> Vec<(usize, String)> {
    let code = code(text);
    let mut found = Vec::new();
    for (at, root) in roots(file, &code) {
        for (offset, name) in heads(&code[at + root..]) {
            if name != "self" && name != module_of(file) {
                let line = code[..at + root + offset].matches('\n').count() + 1;
                found.push((line, name.to_string()));
            }
        }
    }
    found.sort();
    found
}

/// Returns (offset, length) of each path prefix that reaches the root of the library: `crate::`,
/// `idev_backup::`, or a run of `super::` that climbs all the way. In the binary, `crate::` is the
/// module itself.
fn roots(file: &str, code: &str) -> Vec<(usize, usize)> {
    let starts_word =
        |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    let mut found = Vec::new();
    for prefix in ["crate::", "idev_backup::"] {
        if prefix == "crate::" && module_of(file) == "cli" {
            continue;
        }
        let all = code.match_indices(prefix).map(|(at, _)| at);
        found.extend(
            all.filter(|at| starts_word(*at))
                .map(|at| (at, prefix.len())),
        );
    }
    let folders = file.split('/').count() - 1; // src/store.rs: 1
    let depth = if file.ends_with("/mod.rs") {
        folders - 1
    } else {
        folders
    };
    for (at, _) in code.match_indices("super::") {
        if starts_word(at) && module_of(file) != "cli" {
            let climb = supers(&code[at..]);
            if climb >= depth + inline_modules(&code[..at]) {
                found.push((at, climb * "super::".len()));
            }
        }
    }
    found
}

/// Returns the number of `super::` at the beginning of a path.
fn supers(path: &str) -> usize {
    path.strip_prefix("super::")
        .map_or(0, |rest| 1 + supers(rest))
}

/// Returns the number of `mod name {` that are still open at the end of the text. Relies on
/// rustfmt: each closes at its own indentation.
fn inline_modules(text: &str) -> usize {
    let mut open: Vec<&str> = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let indent = &line[..line.len() - bare.len()];
        let words = bare.trim_start_matches("pub ");
        if words.starts_with("mod ") && words.trim_end().ends_with('{') {
            open.push(indent);
        } else if bare.starts_with('}') && open.last() == Some(&indent) {
            open.pop();
        }
    }
    open.len()
}

/// Returns the first name of the path at the beginning of the text, or of each path in its braces,
/// with their offsets.
fn heads(text: &str) -> Vec<(usize, &str)> {
    let name_at = |at: usize| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let name = &rest[..end.unwrap_or(rest.len())];
        (
            at,
            if rest.starts_with('*') {
                &rest[..1]
            } else {
                name
            },
        )
    };
    if !text.starts_with('{') {
        return vec![name_at(0)];
    }
    let (mut depth, mut fresh, mut found) = (0, false, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' => {}
            c if c.is_whitespace() => continue,
            _ if fresh => found.push(name_at(at)),
            _ => {}
        }
        fresh = depth == 1 && (c == ',' || c == '{');
    }
    found
}

/// Returns the text without its comments, keeping the lines.
fn code(text: &str) -> String {
    let cut = |line: &str| match line.find("//") {
        Some(at) if !line[..at].ends_with(':') => line[..at].to_string() + "\n", // not the "//" of an address
        _ => line.to_string() + "\n",
    };
    text.lines().map(cut).collect()
}

/// Returns the line and the `path` of every `[[bench]]`, `[[test]]`, `[[example]]` and `[[bin]]`.
fn target_paths(manifest: &str) -> Vec<(usize, Option<String>)> {
    let mut found: Vec<(usize, Option<String>)> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(manifest.lines()) {
        if line.starts_with('[') {
            inside = line.starts_with("[[");
            if inside {
                found.push((number, None));
            }
        } else if let (true, Some((_, value))) = (inside, line.split_once("path = ")) {
            let target = found.last_mut().unwrap();
            target.1 = value.split('"').nth(1).map(str::to_string);
        }
    }
    found
}

fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
