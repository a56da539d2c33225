//! `open`: every page works, everything a phone wrote is inert in them, and others have no access.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use idev_backup::base::progress::Silent;
use idev_backup::history::everywhere::Search;
use idev_backup::history::known_stores::{Known, KnownPhone};
use idev_backup::history::places::Home;
use idev_backup::simulator::{Password, PhoneConfig};
use idev_backup::store::Store;
use idev_backup::web::{Acting, Options, Server};

use crate::made::Made;
use crate::rig;
use crate::rig::*;

/// Markup that must be escaped everywhere. In a path, its slash begins another folder.
pub(crate) const EVIL: &str =
    "<script>document.title='evil'</script><img src=x onerror=alert(1)>\"'&";

/// An answer of the server.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The headers, with names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// Sends a request as it is and reads the answer to its end.
pub(crate) fn raw(address: &str, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(120)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    });
    let mut answer = Answer {
        status: status.parse().unwrap(),
        headers: headers.collect(),
        body: bytes[end + 4..].to_vec(),
    };
    if answer.header("transfer-encoding") == "chunked" {
        answer.body = joined(&answer.body);
    }
    answer
}

/// Joins the chunks of a body, which must be whole.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = std::str::from_utf8(&chunks[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend(&chunks[end + 2..][..length]);
        chunks = &chunks[end + 2 + length + 2..];
    }
}

/// A browser that has exchanged the token for the cookie.
pub(crate) struct Browser {
    pub(crate) address: String,
    pub(crate) cookie: String,
    pub(crate) home: String,
}

impl Browser {
    pub(crate) fn start(link: &str) -> Browser {
        let (address, path) = link
            .strip_prefix("http://")
            .unwrap()
            .split_once('/')
            .unwrap();
        let answer = raw(address, &get(&format!("/{path}"), &[("Host", address)]));
        assert_eq!(answer.status, 303, "{}", answer.text());
        let set = answer.header("set-cookie");
        assert!(
            set.contains("HttpOnly") && set.contains("SameSite=Strict"),
            "{set}"
        );
        Browser {
            address: address.to_owned(),
            cookie: set.split(';').next().unwrap().to_owned(),
            home: answer.header("location").to_owned(),
        }
    }

    pub(crate) fn get_with(&self, path: &str, more: &[(&str, &str)]) -> Answer {
        let mut headers = vec![("Host", &*self.address), ("Cookie", &*self.cookie)];
        headers.extend(more);
        raw(&self.address, &get(path, &headers))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    /// Returns a page, which must be there and have the headers that make it safe.
    pub(crate) fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        let text = answer.text();
        assert_eq!(answer.status, 200, "{path}: {text}");
        assert_safe(path, &answer);
        text
    }

    pub(crate) fn post(&self, path: &str, form: &str, origin: &str) -> Answer {
        let (address, cookie) = (&self.address, &self.cookie);
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nOrigin: {origin}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{form}",
            form.len()
        );
        raw(address, &request)
    }

    /// Returns the address of the newest backup of the first phone.
    pub(crate) fn backup(&self) -> String {
        let home = self.page(&self.home);
        let links = links(&home).into_iter();
        let found = links
            .filter(|link| link.contains("/b/"))
            .min_by_key(String::len);
        found.unwrap()
    }
}

pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")
}

fn assert_safe(path: &str, answer: &Answer) {
    for (name, words) in [
        ("content-security-policy", "default-src 'none'"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        let value = answer.header(name);
        assert!(value.contains(words), "{path}: {name}: {value}");
    }
    let policy = answer.header("content-security-policy");
    let may_run = policy.split(';').find(|rule| rule.contains("script-src"));
    assert!(
        may_run.is_none_or(|rule| rule.ends_with("/live.js")) && !policy.contains("unsafe"),
        "{policy}"
    );
    let referrer = answer.header("referrer-policy");
    assert!(
        ["no-referrer", "same-origin"].contains(&referrer),
        "{path}: {referrer}"
    );
}

/// Returns the addresses in a page to which a browser would go.
pub(crate) fn links(page: &str) -> BTreeSet<String> {
    let pattern = regex::Regex::new("(?:href|src)=\"([^\"#]*)").unwrap();
    let found = pattern.captures_iter(page);
    let links = found.map(|found| found[1].replace("&amp;", "&"));
    links.filter(|link| !link.is_empty()).collect()
}

pub(crate) fn server(store: &Store) -> Server {
    server_with(store, None)
}

pub(crate) fn server_with(store: &Store, acting: Option<Acting>) -> Server {
    let options = Options {
        acting,
        ..reading(store)
    };
    Server::start(Store::open(store.root()).unwrap(), options).unwrap()
}

/// Returns the options of pages that only read.
fn reading(store: &Store) -> Options {
    Options {
        search: Search {
            current: store.root().to_path_buf(),
            is_named: true,
            known: Vec::new(),
            home: Home::default(),
            silence_max: Duration::from_secs(5),
        },
        overdue: Duration::from_secs(7 * 86_400),
        repository: None,
        copy_overdue: Duration::from_secs(7 * 86_400),
        acting: None,
    }
}

/// Makes a store with one backup, whose names and contents attack the pages.
pub(crate) fn hostile(folder: &Path) -> (Store, PathBuf) {
    let store = Store::create(&folder.join("store")).unwrap();
    let backup = store.root().join(UDID);
    let mut made = Made::default();
    made.folder("HomeDomain", "Library", 0);
    made.file(
        "HomeDomain",
        &format!("Library/{EVIL}.html"),
        EVIL.as_bytes(),
    );
    made.file(
        "HomeDomain",
        "Library/page.html",
        b"<!doctype html><script>1</script>",
    );
    made.file(
        "HomeDomain",
        "Library/picture.svg",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
    );
    made.file(
        "HomeDomain",
        "Library/hidden.jpg",
        b"<html><script>1</script>",
    );
    made.file("HomeDomain", "Library/true.png", PNG);
    made.file("HomeDomain", "Library/numbers", &numbers());
    made.file("HomeDomain", "Library/empty", b"");
    made.file(&format!("AppDomain-{EVIL}"), "Documents/a", b"a");
    made.link("HomeDomain", "Library/link", EVIL);
    made.link("HomeDomain", "Library/passwd", "/etc/passwd");
    made.write(&backup);
    let name = EVIL.replace('&', "&amp;").replace('<', "&lt;");
    let info = format!(
        "<plist version=\"1.0\"><dict><key>Device Name</key><string>{name}</string>\
         <key>Product Version</key><string>{name}</string></dict></plist>"
    );
    fs::write(backup.join("Info.plist"), info).unwrap();
    (store, backup)
}

/// The smallest picture that browsers show.
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\
    \rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";

/// Returns bytes from which each range can be told, longer than what the server reads at a time.
fn numbers() -> Vec<u8> {
    (0..100_000u32).flat_map(u32::to_be_bytes).collect()
}

/// Returns the address of a link in a page, or `None` if it leads to another server.
fn resolved(page: &str, link: &str, home: &str) -> Option<String> {
    let link = match link.strip_prefix("../") {
        Some(rest) => {
            let page = page.split('?').next()?;
            let folder = page.rsplit_once('/')?.0.rsplit_once('/')?.0;
            format!("{folder}/{rest}")
        }
        None => link.to_owned(),
    };
    link.starts_with(home).then_some(link)
}

/// Returns every page that links lead to from the first one.
pub(crate) fn all_pages(browser: &Browser) -> Vec<(String, Answer)> {
    let mut waiting = VecDeque::from([browser.home.clone()]);
    let mut known = BTreeSet::from([browser.home.clone()]);
    let mut pages = Vec::new();
    while let Some(path) = waiting.pop_front() {
        let answer = browser.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        if answer.header("content-type").starts_with("text/html") {
            for link in links(&answer.text()) {
                let Some(link) = resolved(&path, &link, &browser.home) else {
                    continue;
                };
                if known.insert(link.clone()) {
                    waiting.push_back(link);
                }
            }
        }
        pages.push((path, answer));
    }
    pages
}

/// Follows every link from the first page: each page is there, safe, and free of markup that
/// a phone wrote.
#[test]
fn every_page_is_there_and_inert() {
    let dir = rig::room();
    let (store, _) = hostile(dir.path());
    let server = server(&store);
    let browser = Browser::start(&server.link());
    let pages = all_pages(&browser);
    assert!(pages.len() > 20, "{}", pages.len());
    let (mut escaped, mut shown) = (0, Vec::new());
    for (path, answer) in &pages {
        assert_safe(path, answer);
        let kind = answer.header("content-type");
        if kind.starts_with("text/html") {
            let text = answer.text();
            assert!(
                !text.contains("<script") && !text.contains("<img src=x"),
                "{path}: {text}"
            );
            escaped += usize::from(text.contains("&lt;script&gt;"));
        } else if path.contains("/raw/") {
            shown.push(kind);
        } else if path.contains("/download/") {
            assert_eq!(kind, "application/octet-stream", "{path}");
            assert!(
                answer
                    .header("content-disposition")
                    .starts_with("attachment;"),
                "{path}"
            );
            assert!(
                answer.header("content-security-policy").contains("sandbox"),
                "{path}"
            );
        } else {
            assert!(path.ends_with(".css") || path.ends_with(".svg"), "{path}");
        }
    }
    assert!(escaped > 10, "{escaped}");
    assert_eq!(shown, ["image/png"]);
}

/// Checks that files that could run scripts are downloads, also where a page asks for them to be
/// shown.
#[test]
fn scripts_in_files_are_inert() {
    let dir = rig::room();
    let (store, _) = hostile(dir.path());
    let server = server(&store);
    let browser = Browser::start(&server.link());
    let folder = browser.page(&format!(
        "{}/files?d=HomeDomain&p=Library",
        browser.backup()
    ));
    let files: Vec<String> = links(&folder)
        .into_iter()
        .filter(|l| l.contains("/file/"))
        .collect();
    assert_eq!(files.len(), 6, "{files:?}");
    let mut inline = 0;
    for file in files {
        let answer = browser.get(&file.replace("/file/", "/raw/"));
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("sandbox"),
            "{file}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        if answer.body == PNG {
            assert_eq!(answer.header("content-type"), "image/png");
            assert!(answer.header("content-disposition").starts_with("inline;"));
            inline += 1;
        } else {
            assert_eq!(
                answer.header("content-type"),
                "application/octet-stream",
                "{file}"
            );
            assert!(
                answer
                    .header("content-disposition")
                    .starts_with("attachment;")
            );
        }
    }
    assert_eq!(inline, 1);
}

/// Checks every request that must not get in, and that its answer shows nothing.
#[test]
fn strangers_are_refused() {
    let dir = rig::room();
    let (store, _) = hostile(dir.path());
    let server = server(&store);
    let link = server.link();
    let browser = Browser::start(&link);
    let (address, cookie, home) = (&*browser.address, &*browser.cookie, &*browser.home);
    let port = address.split_once(':').unwrap().1;
    let near = format!("localhost:{port}");
    let ours = ("Cookie", cookie);
    let host = ("Host", address);
    assert_eq!(
        raw(address, &get(home, &[("Host", &near), ours])).status,
        200
    );
    let of_start = link.split_once(address).unwrap().1;
    let cut = &of_start[..of_start.len() - 1];
    let wrong = format!("{}x", &cookie[..cookie.len() - 1]);
    let rebound = format!("evil.example:{port}");
    let foreign = format!("http://evil.example:{port}");
    let other_port = "http://127.0.0.1:1";
    let secure = format!("https://{address}");
    for (why, path, headers) in [
        ("no cookie", home, &[host][..]),
        ("no cookie, no page", "/", &[host]),
        ("another cookie", home, &[host, ("Cookie", &wrong)]),
        (
            "an empty cookie",
            home,
            &[host, ("Cookie", "idev_backup_session=")],
        ),
        ("a wrong token", cut, &[host]),
        ("no token", "/start", &[host]),
        ("no host", home, &[ours]),
        ("another host", home, &[("Host", &rebound), ours]),
        ("another host at the start", of_start, &[("Host", &rebound)]),
        ("another port", home, &[("Host", "127.0.0.1:1"), ours]),
        ("no port", home, &[("Host", "127.0.0.1"), ours]),
        ("two hosts", home, &[host, ("Host", &rebound), ours]),
        ("another origin", home, &[host, ours, ("Origin", &foreign)]),
        (
            "the origin of another port",
            home,
            &[host, ours, ("Origin", other_port)],
        ),
        ("no origin", home, &[host, ours, ("Origin", "null")]),
        ("another scheme", home, &[host, ours, ("Origin", &secure)]),
        (
            "a page elsewhere",
            home,
            &[host, ours, ("Sec-Fetch-Site", "cross-site")],
        ),
        (
            "a page of another port",
            home,
            &[host, ours, ("Sec-Fetch-Site", "same-site")],
        ),
    ] {
        let answer = raw(address, &get(path, headers));
        let is_refused = answer.status == 403 || (headers[0].0 != "Host" && answer.status == 400);
        assert!(is_refused, "{why}: {}", answer.status);
        assert!(
            !answer.text().contains("HomeDomain") && answer.header("set-cookie").is_empty(),
            "{why}"
        );
        if answer.status == 403 {
            assert_safe(why, &answer);
        }
    }
    let absolute = get(&format!("http://evil.example{home}"), &[host, ours]);
    assert_eq!(raw(address, &absolute).status, 403);
    for method in ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
        let request = get(home, &[host, ours]).replacen("GET", method, 1);
        assert_eq!(raw(address, &request).status, 405, "{method}");
    }
    // A token for the browser that the program starts works once.
    let once = server.link_once().unwrap();
    Browser::start(&once);
    let again = once.split_once(address).unwrap().1;
    assert_eq!(raw(address, &get(again, &[host])).status, 403);
}

/// Checks that no address leads out of the list of a backup.
#[test]
fn paths_do_not_lead_out() {
    let dir = rig::room();
    let (store, _) = hostile(dir.path());
    fs::write(dir.path().join("secret"), "secret words").unwrap();
    let server = server(&store);
    let browser = Browser::start(&server.link());
    let (backup, base) = (
        browser.backup(),
        browser.home.trim_end_matches('/').to_owned(),
    );
    let zeros = "0".repeat(40);
    for path in [
        format!("{backup}/files?d=HomeDomain&p=../../../secret"),
        format!("{backup}/files?d=..&p=secret"),
        format!("{backup}/files?d=&p=/etc/passwd"),
        format!("{backup}/files?d=/etc&p=passwd"),
        format!("{backup}/file/{zeros}"),
        format!("{backup}/raw/..%2f..%2fsecret"),
        format!("{backup}/raw/../../../secret"),
        format!("{backup}/download/%2e%2e%2fManifest.db"),
        format!("{backup}/raw/Manifest.db"),
        format!("{backup}/raw/{}", "g".repeat(40)),
        format!("{base}/b/{zeros}"),
        format!("{base}/b/..%2f..%2fsecret/files"),
        format!("{base}/b/{UDID}"),
        format!("{base}/phone/..%2f.."),
        format!("{base}/../../etc/passwd"),
        "/etc/passwd".to_owned(),
        "/".to_owned(),
    ] {
        let answer = browser.get(&path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert!(!answer.text().contains("secret words"), "{path}");
    }
    // A link shows its target, and nothing follows it.
    let folder = browser.page(&format!("{backup}/files?d=HomeDomain&p=Library"));
    assert!(folder.contains("/etc/passwd") && !folder.contains("root:"));
}

/// Checks whole files and parts of them, also those that begin in the middle of a chunk.
#[test]
fn ranges_of_files_are_right() {
    let config = PhoneConfig {
        backup_password: Some(Password::new("a pass & word")),
        ..config()
    };
    let dir = rig::room();
    let (store, _) = hostile(dir.path());
    let plain_server = server(&store);
    let plain = Browser::start(&plain_server.link());
    let folder = plain.page(&format!("{}/files?d=HomeDomain&p=Library", plain.backup()));
    let files = links(&folder)
        .into_iter()
        .filter(|link| link.contains("/file/"));
    let numbers = numbers();
    let mut found: Vec<String> = files
        .map(|file| file.replace("/file/", "/download/"))
        .filter(|file| plain.get(file).body == numbers)
        .collect();
    let file = found.pop().unwrap();
    check_ranges(&plain, &file, &numbers);

    let rig = Rig::with(config);
    rig.try_create(&options(), &Silent).unwrap();
    let server = server(&rig.store);
    let browser = Browser::start(&server.link());
    let backup = browser.backup();
    unlock(&browser, &backup, "a+pass+%26+word");
    let entry = rig.phone.files().max_by_key(|entry| entry.size()).unwrap();
    let mut bytes = Vec::new();
    std::io::copy(&mut entry.bytes(), &mut bytes).unwrap();
    let id = idev_backup::backup_format::record::file_id(&entry.domain, &entry.path);
    check_ranges(&browser, &format!("{backup}/download/{id}"), &bytes);
}

fn check_ranges(browser: &Browser, file: &str, bytes: &[u8]) {
    let all = browser.get(file);
    assert!(all.status == 200 && all.body == bytes && all.header("accept-ranges") == "bytes");
    let length = bytes.len();
    let tag = all.header("etag").to_owned();
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=17-34".to_owned(), 17, 35),
        ("bytes=70001-".to_owned(), 70_001, length),
        ("bytes=-5".to_owned(), length - 5, length),
        (format!("bytes=3-{}", length * 2), 3, length),
    ] {
        let part = browser.get_with(file, &[("Range", &range), ("If-Range", &tag)]);
        assert_eq!(part.status, 206, "{range}");
        assert!(part.body == bytes[from..to], "{range}");
        let shown = format!("bytes {from}-{}/{length}", to - 1);
        assert_eq!(part.header("content-range"), shown);
    }
    let beyond = browser.get_with(file, &[("Range", &format!("bytes={length}-"))]);
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{length}"));
    let changed = browser.get_with(file, &[("Range", "bytes=0-0"), ("If-Range", "\"other\"")]);
    assert!(changed.status == 200 && changed.body == bytes);
}

/// Gives the password of a backup, which must be right.
pub(crate) fn unlock(browser: &Browser, backup: &str, password: &str) {
    let origin = format!("http://{}", browser.address);
    let form = format!("password={password}");
    let answer = browser.post(&format!("{backup}/unlock"), &form, &origin);
    assert_eq!((answer.status, answer.header("location")), (303, backup));
}

/// Checks that an encrypted backup asks for its password, takes only the right one, forgets it on
/// demand, and that no page and no address contains it.
#[test]
fn encrypted_backups_ask_once() {
    let rig = Rig::with(PhoneConfig {
        backup_password: Some(Password::new("a pass & word")),
        ..config()
    });
    rig.try_create(&options(), &Silent).unwrap();
    rig.try_create(&options(), &Silent).unwrap();
    let server = server(&rig.store);
    let browser = Browser::start(&server.link());
    let origin = format!("http://{}", browser.address);
    let backup = browser.backup();
    let form = format!("{backup}/unlock");
    for path in ["", "/files", "/files?d=HomeDomain"] {
        let answer = browser.get(&format!("{backup}{path}"));
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, &*form),
            "{path}"
        );
    }
    let asked = browser.get(&form);
    assert!(
        asked.text().contains("type=\"password\"")
            && asked.header("referrer-policy") == "same-origin"
    );
    let wrong = browser.post(&form, "password=other", &origin);
    assert_eq!(
        (wrong.status, wrong.header("location")),
        (303, &*format!("{form}?wrong=1"))
    );
    assert!(
        browser
            .page(&format!("{form}?wrong=1"))
            .contains("does not open")
    );
    let right = "password=a+pass+%26+word";
    for foreign in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(browser.post(&form, right, foreign).status, 403, "{foreign}");
    }
    let long = format!("password={}", "x".repeat(100_000));
    assert_eq!(browser.post(&form, &long, &origin).status, 413);
    assert_eq!(browser.post(&form, "x=y", &origin).status, 400);
    unlock(&browser, &backup, "a+pass+%26+word");
    for (path, answer) in all_pages_of(&browser, &backup) {
        assert!(
            !answer.text().contains("a pass &") && !path.contains("pass+"),
            "{path}"
        );
    }
    // The other backup of the phone has the same password.
    let phone = browser.page(&format!("{}phone/{UDID}", browser.home));
    let others = links(&phone)
        .into_iter()
        .filter(|link| link.contains("/b/") && !link.starts_with(&backup));
    let others: Vec<String> = others.collect();
    assert_eq!(others.len(), 1, "{others:?}");
    browser.page(&others[0]);
    let forgotten = browser.post(&format!("{backup}/lock"), "", &origin);
    assert_eq!(forgotten.status, 303);
    for backup in [&backup, &others[0]] {
        assert_eq!(browser.get(backup).status, 303, "{backup}");
    }
}

/// Returns the pages of a backup that have text, one step deep.
fn all_pages_of(browser: &Browser, backup: &str) -> Vec<(String, Answer)> {
    let links = links(&browser.page(backup)).into_iter();
    let links = links.filter(|link| link.starts_with(backup));
    links
        .map(|link| (link.clone(), browser.get(&link)))
        .collect()
}

/// Runs the program: it prints the address, serves, and ends with 0 at Ctrl-C.
#[cfg(unix)]
#[test]
fn program_serves_until_interrupted() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let rig = Rig::backed_up();
    let mut command = rig::program::program(&rig);
    let mut child = command
        .args(["open", "--no-browser"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut link = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut link).unwrap();
    let browser = Browser::start(link.trim());
    assert!(browser.page(&browser.home).contains("Mira&#39;s iPhone"));
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{told}");
    assert!(told.contains("Ctrl-C ends it"), "{told}");
}

/// Follows every link of a phone with messages, contacts and photos, whose texts contain scripts.
#[test]
fn content_of_a_phone_is_inert() {
    let rig = Rig::backed_up();
    let server = server(&rig.store);
    let browser = Browser::start(&server.link());
    let pages = all_pages(&browser);
    let mut scripts = BTreeSet::new();
    let mut shown = 0;
    for (path, answer) in &pages {
        assert_safe(path, answer);
        let kind = answer.header("content-type");
        if kind.starts_with("text/html") {
            let text = answer.text();
            assert!(
                !text.contains("<script") && !text.contains("<img src=x"),
                "{path}: {text}"
            );
            scripts.extend(scripts_in(&text));
        } else if path.contains("/raw/")
            && !kind.starts_with("image/")
            && !kind.starts_with("audio/")
            && !kind.starts_with("video/")
        {
            assert_eq!(kind, "application/octet-stream", "{path}");
            assert!(
                answer
                    .header("content-disposition")
                    .starts_with("attachment;"),
                "{path}"
            );
        } else if path.contains("/raw/") || path.ends_with("/picture") {
            assert!(
                answer.header("content-security-policy").contains("sandbox"),
                "{path}"
            );
            shown += 1;
        }
    }
    let all = [
        "bookmark",
        "chat",
        "contact",
        "event",
        "memo",
        "message",
        "note",
        "reminder",
        "voicemail",
        "wa",
    ];
    assert_eq!(scripts, BTreeSet::from(all));
    assert!(shown > 2, "{shown}");
    let backup = browser.backup();
    for (page, words) in [
        ("/messages?q=zzzz", "No conversation has such a name"),
        ("/contacts?q=zzzz", "0 people"),
        ("/contacts?q=%3Cscript%3E", "value=\"&lt;script&gt;\""),
    ] {
        let text = browser.page(&format!("{backup}{page}"));
        assert!(text.contains(words), "{page}: {text}");
    }
    for page in [
        "/messages/9999",
        "/photo/99999999",
        "/contacts/99999/picture",
        "/photos?month=x",
    ] {
        assert_eq!(
            browser.get(&format!("{backup}{page}")).status,
            404,
            "{page}"
        );
    }
}

/// Returns the kinds of content whose planted scripts a page shows as text.
fn scripts_in(page: &str) -> BTreeSet<&'static str> {
    let kinds = [
        "bookmark",
        "chat",
        "contact",
        "event",
        "memo",
        "message",
        "note",
        "reminder",
        "visit",
        "voicemail",
        "wa",
    ];
    let is_shown = |kind: &&str| page.contains(&format!("&lt;script&gt;alert(&#39;{kind}&#39;)"));
    kinds.into_iter().filter(is_shown).collect()
}

/// Checks the lists of an encrypted backup, which has calls and Safari's history, and plays
/// a recording by ranges.
#[test]
fn lists_of_records_are_inert() {
    let rig = Rig::with(PhoneConfig {
        backup_password: Some(Password::new("a pass & word")),
        ..config()
    });
    rig.try_create(&options(), &Silent).unwrap();
    let server = server(&rig.store);
    let browser = Browser::start(&server.link());
    let backup = browser.backup();
    unlock(&browser, &backup, "a+pass+%26+word");
    let more = browser.page(&format!("{backup}/more"));
    let (mut scripts, mut sounds) = (BTreeSet::new(), 0);
    let lists: Vec<String> = links(&more)
        .into_iter()
        .filter(|link| link.contains("/records/"))
        .collect();
    assert_eq!(lists.len(), 8, "{lists:?}");
    for list in &lists {
        let page = browser.page(list);
        assert!(!page.contains("<script"), "{list}");
        assert!(
            page.contains(" entr") && !page.contains(">0 entries"),
            "{list}: {page}"
        );
        scripts.extend(scripts_in(&page));
        for sound in links(&page).iter().filter(|link| link.contains("/raw/")) {
            let part = browser.get_with(sound, &[("Range", "bytes=0-3")]);
            assert!(part.status == 206 && part.body.len() == 4, "{sound}");
            assert!(part.header("content-type").starts_with("audio/"), "{sound}");
            sounds += 1;
        }
        let none = browser.page(&format!("{list}?q=zzzzzzzz"));
        assert!(
            none.contains(">0 entries") && !none.contains("<li><p"),
            "{list}"
        );
        browser.page(&format!("{list}?page=9999999"));
    }
    for kind in [
        "bookmark",
        "event",
        "memo",
        "reminder",
        "visit",
        "voicemail",
    ] {
        assert!(scripts.contains(kind), "{kind}: {scripts:?}");
    }
    assert!(sounds > 1, "{sounds}");
    let calls = browser.page(&format!("{backup}/records/calls"));
    assert!(calls.contains("Incoming") && calls.contains("Missed"));
    assert_eq!(browser.get(&format!("{backup}/records/other")).status, 404);
    assert_eq!(browser.get(&format!("{backup}/notes/99999999")).status, 404);
    assert_eq!(browser.get(&format!("{backup}/whatsapp/9999")).status, 404);
}

/// Checks that a note keeps its formats, and that a locked one says so.
#[test]
fn notes_keep_their_formats() {
    let rig = Rig::backed_up();
    let server = server(&rig.store);
    let browser = Browser::start(&server.link());
    let backup = browser.backup();
    let list = browser.page(&format!("{backup}/notes"));
    let notes: Vec<String> = links(&list)
        .into_iter()
        .filter(|link| link.contains("/notes/"))
        .collect();
    let pages: Vec<String> = notes.iter().map(|note| browser.page(note)).collect();
    let all = pages.concat();
    for words in [
        "<table",
        "☑",
        "☐",
        "<b>",
        "locked with a password",
        "class=\"item in1\"",
    ] {
        assert!(all.contains(words), "{words}");
    }
    assert!(!all.contains("style=") && !list.contains("style="));
    let pictures = pages.iter().flat_map(|page| links(page));
    let pictures: BTreeSet<String> = pictures.filter(|link| link.contains("raw/")).collect();
    assert!(!pictures.is_empty());
    for picture in &pictures {
        let picture = resolved(&format!("{backup}/notes/1"), picture, &browser.home).unwrap();
        assert_eq!(browser.get(&picture).status, 200, "{picture}");
    }
    let found = browser.page(&format!("{backup}/notes?q=zzzzzz"));
    assert!(found.contains("0 notes"));
}

/// Checks the ZIP file of photos: those of a month, chosen ones, and none.
#[test]
fn photos_are_sent_as_zip() {
    let dir = rig::room();
    let store = Store::create(&dir.path().join("store")).unwrap();
    let mut made = Made::default();
    let roll = "CameraRollDomain";
    let film = numbers();
    made.file(
        roll,
        "Media/DCIM/100APPLE/IMG_0001.JPG",
        b"\xff\xd8\xff one",
    );
    made.file(roll, "Media/DCIM/100APPLE/IMG_0001.MOV", &film);
    made.file(
        roll,
        "Media/DCIM/101APPLE/IMG_0001.JPG",
        b"\xff\xd8\xff other",
    );
    made.file(
        roll,
        "Media/DCIM/101APPLE/IMG_E0001.JPG",
        b"\xff\xd8\xff edited",
    );
    made.write(&store.root().join(UDID));
    let gone = store
        .root()
        .join(UDID)
        .join(stored(roll, "Media/DCIM/101APPLE/IMG_E0001.JPG"));
    let server = server(&store);
    let browser = Browser::start(&server.link());
    let backup = browser.backup();
    let files = |query: &str| {
        let answer = browser.get(&format!("{backup}/download/photos.zip?{query}"));
        assert_eq!(answer.status, 200, "{query}");
        assert!(
            answer
                .header("content-disposition")
                .starts_with("attachment;")
        );
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(answer.body)).unwrap();
        let mut files = std::collections::BTreeMap::new();
        for at in 0..zip.len() {
            let mut file = zip.by_index(at).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            files.insert(file.name().unwrap().into_owned(), bytes);
        }
        files
    };
    let all = files("month=2020-09");
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "IMG_0001 (2).JPG",
            "IMG_0001 (edited).JPG",
            "IMG_0001.JPG",
            "IMG_0001.MOV"
        ]
    );
    assert!(all["IMG_0001.MOV"] == film && all["IMG_0001 (edited).JPG"] == b"\xff\xd8\xff edited");
    assert_eq!(files("n=1&n=1").len(), 2);
    assert_eq!(files("n=0&n=1"), all);
    for nothing in ["", "n=x", "n=99", "album=0", "month=2001-01"] {
        let answer = browser.get(&format!("{backup}/download/photos.zip?{nothing}"));
        assert_eq!(answer.status, 404, "{nothing}");
    }
    fs::remove_file(gone).unwrap();
    let rest = files("n=0&n=1");
    let named = String::from_utf8(rest["Files that are not here.txt"].clone()).unwrap();
    assert!(
        rest.len() == 4 && named.contains("IMG_E0001.JPG"),
        "{named}"
    );
}

/// Returns the place of a file in a backup.
fn stored(domain: &str, path: &str) -> PathBuf {
    let id = idev_backup::backup_format::record::file_id(domain, path);
    Path::new(&id[..2]).join(&id)
}

/// Checks that the search finds all kinds and files, that hits are inert, and that browsers that go
/// away leave room for others.
#[test]
fn search_finds_everything() {
    let rig = Rig::backed_up();
    rig.try_create(&options(), &Silent).unwrap();
    let server = server(&rig.store);
    let browser = Browser::start(&server.link());
    let backup = browser.backup();
    let found = browser.page(&format!("{backup}/search?q=%3CSCRIPT"));
    assert!(!found.contains("<script") && found.contains("<mark>&lt;script</mark>"));
    for kind in [
        "Messages",
        "Contacts",
        "Notes",
        "Reminders",
        "Calendar",
        "Voice memos",
    ] {
        assert!(
            found.contains(&format!(">{kind}</a></h3>")),
            "{kind}: {found}"
        );
    }
    assert!(found.ends_with("</html>"), "{found}");
    let files = browser.page(&format!("{backup}/search?q=sms.DB"));
    assert!(
        files.contains("<h3>Files</h3>") && files.contains("<mark>sms.db</mark>"),
        "{files}"
    );
    let none = browser.page(&format!("{backup}/search?q=zzzzzzzz&all=1"));
    assert!(
        none.contains("Nothing was found") && none.contains("checked"),
        "{none}"
    );
    let all = browser.page(&format!("{backup}/search?q=%3Cscript&all=1"));
    assert_eq!(all.matches("<h2>").count(), 2);
    // A hit that both backups have is shown with the newer one. Only a search in one backup covers
    // the names of files.
    let contents = found.split("<h3>Files").next().unwrap();
    assert_eq!(
        all.matches("<mark>").count(),
        contents.matches("<mark>").count()
    );
    let form = browser.page(&format!("{backup}/search"));
    assert!(form.contains("role=\"search\"") && !form.contains("Nothing"));
    for _ in 0..10 {
        let mut stream = TcpStream::connect(&browser.address).unwrap();
        let headers = [("Host", &*browser.address), ("Cookie", &*browser.cookie)];
        let request = get(&format!("{backup}/search?q=e&all=1"), &headers);
        stream.write_all(request.as_bytes()).unwrap();
        drop(stream);
    }
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while browser.get(&format!("{backup}/search?q=zzzz")).status != 200 {
        assert!(
            std::time::Instant::now() < until,
            "searches go on without a browser"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Shows the copies that the notes of the store name, and the stores that are away.
#[test]
fn home_shows_copies_and_absent_stores() {
    let rig = Rig::backed_up();
    let snapshot = rig.store.snapshots().unwrap().remove(0);
    let now: jiff::Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let noted = rig.store.note_copies("/nas/one", &[&snapshot], None, now);
    noted.unwrap();
    let why = format!("no route to {EVIL}");
    rig.store.note_failed_push("/nas/two", why, now).unwrap();
    let known = |path: PathBuf| Known {
        path,
        seen: "2026-11-20T12:00:00Z".to_owned(),
        phones: vec![KnownPhone {
            udid: UDID.to_owned(),
            name: Some(format!("Ada's {EVIL}")),
            newest: None,
        }],
    };
    let here = rig.dir.path().join("here");
    Store::create(&here).unwrap();
    let away = rig.dir.path().join("away");
    let mut options = reading(&rig.store);
    options.search.known = vec![known(here.clone()), known(away.clone())];
    options.repository = Some("/nas/two".to_owned());
    options.copy_overdue = Duration::ZERO;
    let server = Server::start(Store::open(rig.store.root()).unwrap(), options).unwrap();
    let browser = Browser::start(&server.link());
    let home = browser.page(&browser.home);
    for words in [
        "the newest backup is in /nas/one",
        "no backup was pushed to /nas/two yet",
        "overdue",
        "no route to &lt;script&gt;",
        "Stores that are away",
        "The disk is not connected",
        "Ada&#39;s &lt;script&gt;",
    ] {
        assert!(home.contains(words), "{words}: {home}");
    }
    let shown = |path: &Path| home.contains(&*path.display().to_string());
    assert!(shown(&away) && !shown(&here), "{home}");
    // Nothing is said where no store is away.
    let plain = crate::web::server(&rig.store);
    let browser = Browser::start(&plain.link());
    assert!(!browser.page(&browser.home).contains("Stores that are away"));
}

/// Checks the pages of changes and of the report, also for the first backup of a phone.
#[test]
fn changes_and_reports_are_shown() {
    for password in [None, Some(Password::new("a pass & word"))] {
        let is_encrypted = password.is_some();
        let rig = Rig::with(PhoneConfig {
            backup_password: password,
            ..config()
        });
        rig.try_create(&options(), &Silent).unwrap();
        rig.try_create(&options(), &Silent).unwrap();
        let server = server(&rig.store);
        let browser = Browser::start(&server.link());
        let backup = browser.backup();
        if is_encrypted {
            unlock(&browser, &backup, "a+pass+%26+word");
        }
        let changes = browser.page(&format!("{backup}/changes"));
        assert!(changes.contains("Since the backup before"), "{changes}");
        assert!(changes.contains("did not change"), "{changes}");
        let phone = browser.page(&format!("{}phone/{UDID}", browser.home));
        assert!(links(&phone).contains(&format!("{backup}/changes")));
        assert!(
            phone.contains("Received: ") && phone.contains("The first backup"),
            "{phone}"
        );
        let is_other = |link: &String| link.contains("/b/") && !link.starts_with(&backup);
        let other = links(&phone).into_iter().find(is_other).unwrap();
        let other: String = other.split('/').take(4).collect::<Vec<_>>().join("/");
        assert!(!links(&phone).contains(&format!("{other}/changes")));
        let first = browser.page(&format!("{other}/changes"));
        assert!(first.contains("the first backup of this phone"), "{first}");
        let report = browser.page(&format!("{backup}/report"));
        assert!(
            report.contains("No later check") && report.contains("<b><bdi>files</bdi></b>"),
            "{report}"
        );
    }
}

/// Checks the previews of property lists and databases: nothing in them is markup, and a table is
/// named by its number.
#[test]
fn previews_are_inert() {
    let dir = rig::room();
    let store = Store::create(&dir.path().join("store")).unwrap();
    let mut made = Made::default();
    let list = plist::Value::Dictionary(
        [(EVIL.to_owned(), plist::Value::String(EVIL.to_owned()))]
            .into_iter()
            .collect(),
    );
    let (mut binary, mut xml) = (Vec::new(), Vec::new());
    list.to_writer_binary(&mut binary).unwrap();
    list.to_writer_xml(&mut xml).unwrap();
    let db = rusqlite::Connection::open_in_memory().unwrap();
    let name = EVIL.replace('"', "\"\"");
    db.execute_batch(&format!("CREATE TABLE \"{name}\" (a, \"b {name}\")"))
        .unwrap();
    let row = format!("INSERT INTO \"{name}\" VALUES (?1, ?2)");
    for number in 0..120 {
        db.execute(&row, (number, EVIL)).unwrap();
    }
    db.execute(&row, (rusqlite::types::Null, [0u8; 5000]))
        .unwrap();
    let bytes = db.serialize(rusqlite::MAIN_DB).unwrap().to_vec();
    made.file("HomeDomain", "Library/a.plist", &binary);
    made.file("HomeDomain", "Library/b.plist", &xml);
    made.file("HomeDomain", "Library/c.db", &bytes);
    made.file(
        "HomeDomain",
        "Library/d.db",
        b"SQLite format 3\0 and nothing else",
    );
    made.write(&store.root().join(UDID));
    let server = server(&store);
    let browser = Browser::start(&server.link());
    let folder = browser.page(&format!(
        "{}/files?d=HomeDomain&p=Library",
        browser.backup()
    ));
    let files: Vec<String> = links(&folder)
        .into_iter()
        .filter(|link| link.contains("/file/"))
        .collect();
    assert_eq!(files.len(), 4);
    let (mut trees, mut tables, mut broken) = (0, 0, 0);
    for file in files {
        let page = browser.page(&file);
        assert!(
            !page.contains("<script") && !page.contains("<img src=x"),
            "{page}"
        );
        trees += usize::from(
            page.contains("aria-label=\"Property list\"") && page.contains("&lt;script&gt;"),
        );
        broken += usize::from(page.contains("cannot be read"));
        if page.contains("1 table") {
            tables += 1;
            let rows = browser.page(&format!("{file}?table=0"));
            assert!(
                rows.contains("121 rows") && !rows.contains("<script"),
                "{rows}"
            );
            assert_eq!(rows.matches("<tr>").count(), 51);
            let last = browser.page(&format!("{file}?table=0&page=2"));
            assert_eq!(last.matches("<tr>").count(), 22);
            assert!(last.contains("5.0 KB"), "{last}");
            assert_eq!(browser.get(&format!("{file}?table=1")).status, 404);
        }
    }
    assert_eq!((trees, tables, broken), (2, 1, 1));
}

/// Checks that conversations are the same with the index that lets the pages seek in them.
#[test]
fn seeking_shows_same_messages() {
    let rig = Rig::backed_up();
    let pages = || {
        let server = server(&rig.store);
        let browser = Browser::start(&server.link());
        let backup = browser.backup();
        let list = browser.page(&format!("{backup}/messages"));
        let chats = links(&list).into_iter();
        let chats = chats.filter(|link| link.contains("/messages/"));
        let chats: Vec<String> = chats
            .flat_map(|chat| [format!("{chat}?page=1"), chat])
            .collect();
        assert!(chats.len() > 8, "{chats:?}");
        let shown: Vec<String> = chats.iter().map(|chat| browser.page(chat)).collect();
        let all = [vec![list], shown].concat().join("\n");
        all.replace(&browser.home, "/")
    };
    let file = rig.store.root().join(UDID);
    let file = file.join(stored("HomeDomain", "Library/SMS/sms.db"));
    let change = |sql: &str| {
        let db = rusqlite::Connection::open(&file).unwrap();
        db.execute_batch(sql).unwrap();
    };
    // The phone keeps both dates equal. Those of odd messages differ in the simulated phone. The
    // list takes the time of a deleted message only from a conversation without others.
    change(
        "DELETE FROM chat_recoverable_message_join;
         UPDATE chat_message_join SET message_date =
            (SELECT date FROM message WHERE ROWID = message_id);",
    );
    let without = pages();
    change(
        "CREATE INDEX i ON chat_message_join(chat_id, message_date, message_id);
         CREATE INDEX j ON message(associated_message_guid);",
    );
    assert_eq!(pages(), without);
}

/// Checks the grid of photos: months, thumbnails, and the files of a Live Photo and a video.
#[test]
fn photos_are_grouped_by_month() {
    let dir = rig::room();
    let store = Store::create(&dir.path().join("store")).unwrap();
    let mut made = Made::default();
    let heic = b"\0\0\0\x20ftypheic....".as_slice();
    let movie = b"\0\0\0\x14ftypqt  ....".as_slice();
    let roll = "CameraRollDomain";
    made.file(roll, "Media/DCIM/100APPLE/IMG_0001.HEIC", heic);
    made.file(roll, "Media/DCIM/100APPLE/IMG_0001.MOV", movie);
    made.file(roll, "Media/DCIM/100APPLE/IMG_0001.AAE", b"<plist/>");
    made.file(roll, "Media/DCIM/100APPLE/IMG_0002.MOV", movie);
    made.file(roll, "Media/DCIM/100APPLE/IMG_0003.PNG", PNG);
    let thumbnail = "Media/PhotoData/Thumbnails/V2/DCIM/100APPLE/IMG_0001.HEIC";
    made.file(
        roll,
        &format!("{thumbnail}/5003.JPG"),
        b"\xff\xd8\xff small",
    );
    made.file(
        roll,
        &format!("{thumbnail}/5005.JPG"),
        b"\xff\xd8\xff larger one",
    );
    made.write(&store.root().join(UDID));
    let server = server(&store);
    let browser = Browser::start(&server.link());
    let backup = browser.backup();
    let grid = browser.page(&format!("{backup}/photos"));
    assert!(
        grid.contains("September 2020") && grid.contains("3 photos in 1 month"),
        "{grid}"
    );
    let found = links(&grid);
    let photos: Vec<&String> = found
        .iter()
        .filter(|link| link.contains("/photo/"))
        .collect();
    assert_eq!(photos.len(), 3);
    let pictures = found.iter().filter(|link| link.contains("/raw/"));
    let mut bodies: Vec<Vec<u8>> = pictures.map(|link| browser.get(link).body).collect();
    bodies.sort();
    assert_eq!(bodies, [PNG, b"\xff\xd8\xff larger one"]);
    let pages: Vec<String> = photos.iter().map(|link| browser.page(link)).collect();
    let live = pages.iter().find(|page| page.contains("IMG_0001")).unwrap();
    for words in ["image/heic", "Download HEIC", "Download MOV", "Live Photo"] {
        assert!(live.contains(words), "{words}: {live}");
    }
    let video = pages.iter().find(|page| page.contains("IMG_0002")).unwrap();
    assert!(video.contains("<video controls"), "{video}");
}
