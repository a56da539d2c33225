//! `serve`: a password, TLS or a proxy protect pages that other computers reach, and the limits
//! hold.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use idev_backup::base::secret::Secret;
use idev_backup::history::everywhere::Search;
use idev_backup::history::places::Home;
use idev_backup::store::Store;
use idev_backup::web::{Certificate, Listen, Options, PasswordHash, Protection, Server};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::rig::*;
use crate::web::{Answer, Browser, get, hostile, raw, server};

const PASSWORD: &str = "four random words";
const FORM: &str = "password=four+random+words";
/// Address of a browser before a proxy.
const FAR: &str = "198.51.100.7";

fn options_of(store: &Store) -> Options {
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

/// Starts a server with a password, on a free port of this computer.
fn guarded(store: &Store, names: &[&str], protection: Protection) -> (Server, String) {
    let password = Secret::new(PASSWORD.as_bytes().to_vec());
    let listen = Listen {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        password: Some(PasswordHash::new(&password).unwrap()),
        protection,
    };
    let store = Store::open(store.root()).unwrap();
    let options = options_of(&store);
    let server = Server::listen(store, options, listen).unwrap();
    let address = server.address().to_string();
    (server, address)
}

fn post(path: &str, form: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "POST {path} HTTP/1.1\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{form}",
        form.len()
    )
}

fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    set.split(';').next().unwrap().to_owned()
}

/// Checks that nothing but the form and its style is there without the password, and that a session
/// ends when its user logs out, also for one who copied the cookie.
#[test]
fn password_protects_every_page() {
    let dir = room();
    let (store, _) = hostile(dir.path());
    let (_server, address) = guarded(&store, &[], Protection::Nothing);
    let origin = format!("http://{address}");
    let host = ("Host", &*address);
    for path in [
        "/",
        "/places",
        "/b/x",
        "/phone/x",
        "/live.js",
        "/start?token=",
        "/x",
    ] {
        let answer = raw(&address, &get(path, &[host]));
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, "/login"),
            "{path}"
        );
    }
    for path in ["/login", "/style.css", "/icon.svg"] {
        assert_eq!(raw(&address, &get(path, &[host])).status, 200, "{path}");
    }
    let send = |form: &str, origin: &str| {
        let headers = [host, ("Origin", origin)];
        raw(&address, &post("/login", form, &headers))
    };
    assert_eq!(send(FORM, "http://evil.example").status, 403);
    assert_eq!(raw(&address, &post("/login", FORM, &[host])).status, 403);
    assert_eq!(
        send(&format!("{FORM}&x={}", "x".repeat(9000)), &origin).status,
        413
    );
    for wrong in ["password=four+random+word", "password=", "x=y"] {
        let answer = send(wrong, &origin);
        assert!([303, 400].contains(&answer.status) && answer.header("set-cookie").is_empty());
        assert_ne!(answer.header("location"), "/", "{wrong}");
    }
    let right = send(FORM, &origin);
    assert_eq!((right.status, right.header("location")), (303, "/"));
    let set = right.header("set-cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains("Secure"));
    let mine = cookie(&right);
    let page = |cookie: &str| raw(&address, &get("/", &[host, ("Cookie", cookie)]));
    let home = page(&mine);
    assert!(home.status == 200 && home.text().contains("Log out"));
    assert!(!home.text().contains(PASSWORD));
    let other = cookie(&send(FORM, &origin));
    assert_ne!(mine, other);
    for wrong in [
        &mine[..mine.len() - 1],
        "idev_backup_session=",
        "idev_backup_session=x",
    ] {
        assert_eq!(page(wrong).status, 303, "{wrong}");
    }
    let found = home.text();
    let check = found.split("name=\"check\" value=\"").nth(1).unwrap();
    let form = format!("check={}", &check[..64]);
    let leave = |cookie: &str| {
        let headers = [host, ("Origin", &*origin), ("Cookie", cookie)];
        raw(&address, &post("/logout", &form, &headers))
    };
    // The value of one session is not that of another.
    assert_eq!(leave(&other).status, 403);
    assert_eq!(leave(&mine).header("location"), "/login");
    assert_eq!((page(&mine).status, page(&other).status), (303, 200));
}

/// Tries many passwords, one after the other and at once: most are refused without a look at them,
/// and the right one too until the wait is over.
#[test]
fn passwords_cannot_be_guessed_fast() {
    let dir = room();
    let (store, _) = hostile(dir.path());
    let (_server, address) = guarded(&store, &[], Protection::Nothing);
    let origin = format!("http://{address}");
    let send = |form: &str| {
        let headers = [("Host", &*address), ("Origin", &*origin)];
        raw(&address, &post("/login", form, &headers))
    };
    let statuses: Vec<u16> = thread::scope(|scope| {
        let tries: Vec<_> = (0..30)
            .map(|number| scope.spawn(move || send(&format!("password=guess{number}")).status))
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let looked_at = statuses.iter().filter(|status| **status == 303).count();
    assert!((5..=7).contains(&looked_at), "{statuses:?}");
    assert!(statuses.iter().all(|status| [303, 429].contains(status)));
    let late = send(FORM);
    assert_eq!((late.status, late.header("set-cookie")), (429, ""));
    let wait: u64 = late.header("retry-after").parse().unwrap();
    assert!((1..=8).contains(&wait), "{wait}");
    let begun = Instant::now();
    while send(FORM).status != 303 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(200));
    }
}

/// Checks the rules of a proxy: only it may send requests, it must say that the browser uses TLS,
/// and the limits count the browser that it saw.
#[test]
fn proxies_must_vouch_for_browsers() {
    let dir = room();
    let (store, _) = hostile(dir.path());
    let name = "backups.example";
    let proxy = || Protection::Proxy(vec![IpAddr::from([127, 0, 0, 1])]);
    let (server, address) = guarded(&store, &[name], proxy());
    assert_eq!(server.place(), "https://backups.example/");
    let host = ("Host", name);
    let secure = ("X-Forwarded-Proto", "https");
    let from = ("X-Forwarded-For", FAR);
    for (why, headers) in [
        ("no proxy", &[host][..]),
        ("no sender", &[host, secure]),
        ("no TLS", &[host, from]),
        ("plain", &[host, from, ("X-Forwarded-Proto", "http")]),
        (
            "twice",
            &[host, from, secure, ("X-Forwarded-Proto", "http")],
        ),
        ("a bad sender", &[host, secure, ("X-Forwarded-For", "x")]),
        ("another name", &[("Host", "evil.example"), secure, from]),
        ("a number", &[("Host", &*address), secure, from]),
        (
            "its own words",
            &[host, secure, from, ("Origin", "http://backups.example")],
        ),
    ] {
        assert_eq!(raw(&address, &get("/login", headers)).status, 403, "{why}");
    }
    assert_eq!(
        raw(&address, &get("/login", &[host, secure, from])).status,
        200
    );
    let origin = ("Origin", "https://backups.example");
    let send = |form: &str, from: &str| {
        let headers = [host, secure, origin, ("X-Forwarded-For", from)];
        raw(&address, &post("/login", form, &headers))
    };
    // The browser itself may send the header: the proxy adds to it, and only its part counts.
    for number in 0..5 {
        let answer = send("password=guess", &format!("192.0.2.{number}, {FAR}"));
        assert_eq!(answer.status, 303);
    }
    assert_eq!(
        send("password=guess", &format!("192.0.2.9, {FAR}")).status,
        429
    );
    let right = send(FORM, "203.0.113.1");
    let set = right.header("set-cookie");
    assert!(set.starts_with("__Host-") && set.contains("; Secure") && set.contains("Path=/;"));
    let (_other, elsewhere) = guarded(
        &store,
        &[name],
        Protection::Proxy(vec![IpAddr::from([192, 0, 2, 1])]),
    );
    let answer = raw(&elsewhere, &get("/login", &[host, secure, from]));
    assert_eq!(answer.status, 403);
}

/// Logs in over TLS. Plain requests to the same port get no answer.
#[test]
fn tls_carries_pages() {
    let dir = room();
    let (store, _) = hostile(dir.path());
    let made = rcgen::generate_simple_self_signed(vec!["nas.local".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = Certificate::read(&certificate, &key, |_| ()).unwrap();
    let (_server, address) = guarded(&store, &["nas.local"], Protection::Tls(tls));
    let send = |request: &str| {
        let mut stream = StreamOwned::new(session(made.cert.der()), connect(&address));
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let host = ("Host", "nas.local");
    assert!(send(&get("/", &[host])).contains("location: /login"));
    let answer = send(&post(
        "/login",
        FORM,
        &[host, ("Origin", "https://nas.local")],
    ));
    let set = answer.split("set-cookie: ").nth(1).unwrap();
    assert!(
        set.starts_with("__Host-") && set.contains("; Secure"),
        "{answer}"
    );
    let cookie = set.split(';').next().unwrap();
    let home = send(&get("/", &[host, ("Cookie", cookie)]));
    assert!(
        home.starts_with("HTTP/1.1 200") && home.contains("Log out"),
        "{home}"
    );
    let foreign = post("/login", FORM, &[host, ("Origin", "http://nas.local")]);
    assert!(send(&foreign).starts_with("HTTP/1.1 403"));
    let mut plain = TcpStream::connect(&address).unwrap();
    plain.write_all(get("/login", &[host]).as_bytes()).unwrap();
    let mut bytes = Vec::new();
    plain.read_to_end(&mut bytes).ok();
    assert!(!String::from_utf8_lossy(&bytes).contains("HTTP/1.1"));
    assert!(Certificate::read(&key, &certificate, |_| ()).is_err());
    let absent = dir.path().join("absent");
    assert!(Certificate::read(&absent, &key, |_| ()).is_err());
}

/// Uses a renewed certificate for new connections, and keeps the last one if it cannot be used.
#[test]
fn renewed_certificate_is_used() {
    static PROBLEMS: AtomicUsize = AtomicUsize::new(0);
    let dir = room();
    let (store, _) = hostile(dir.path());
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(vec!["nas.local".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    };
    let first = renew();
    let tls = Certificate::read(&certificate, &key, |_| {
        PROBLEMS.fetch_add(1, Ordering::SeqCst);
    });
    let (_server, address) = guarded(&store, &["nas.local"], Protection::Tls(tls.unwrap()));
    // Only a server with this certificate can answer.
    let answers = |certificate: &CertificateDer<'static>| {
        let mut stream = StreamOwned::new(session(certificate), connect(&address));
        let sent = stream.write_all(get("/login", &[("Host", "nas.local")]).as_bytes());
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok();
        sent.is_ok() && String::from_utf8_lossy(&bytes).starts_with("HTTP/1.1 200")
    };
    let wait_for = |wanted: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !wanted() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(20));
        }
    };
    assert!(answers(&first));
    std::fs::write(&certificate, "no certificate").unwrap();
    wait_for(&|| PROBLEMS.load(Ordering::SeqCst) > 0);
    assert!(answers(&first));
    let second = renew();
    assert!(first != second);
    wait_for(&|| answers(&second));
    assert!(!answers(&first));
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(60));
    stream.set_read_timeout(limit).unwrap();
    stream
}

/// Returns the session of a browser that trusts this certificate only.
fn session(certificate: &CertificateDer<'static>) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("nas.local").unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// Sends 200 requests at once beside a hundred connections that never finish their request: all are
/// answered, and all alike.
#[test]
fn many_requests_stay_right() {
    let dir = room();
    let (store, _) = hostile(dir.path());
    let server = server(&store);
    let browser = Browser::start(&server.link());
    let backup = browser.backup();
    let idle: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(&browser.address).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
            stream
        })
        .collect();
    let paths = [
        backup.clone(),
        format!("{backup}/files"),
        format!("{backup}/files?d=HomeDomain"),
        browser.home.clone(),
    ];
    let expected: Vec<Vec<u8>> = paths.iter().map(|path| browser.get(path).body).collect();
    let begun = Instant::now();
    thread::scope(|scope| {
        for number in 0..200 {
            let (browser, paths, expected) = (&browser, &paths, &expected);
            scope.spawn(move || {
                let answer = browser.get(&paths[number % 4]);
                assert_eq!(answer.status, 200);
                // The first page says how much space is free.
                assert!(number % 4 == 3 || answer.body == expected[number % 4]);
            });
        }
    });
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
    drop(idle);
}

/// Sends requests of unusual forms: large heads, contradictions, methods in headers, line breaks in
/// addresses. None is answered with a page or with a header of the sender's choice.
#[test]
fn odd_requests_are_refused() {
    let dir = room();
    let (store, _) = hostile(dir.path());
    let server = server(&store);
    let browser = Browser::start(&server.link());
    let (address, cookie) = (&*browser.address, &*browser.cookie);
    let backup = browser.backup();
    let near = [("Host", address), ("Cookie", cookie)];
    for path in [
        format!("{}phone/%0d%0aSet-Cookie:%20a=b", browser.home),
        format!("{backup}/unlock?then=manage%0d%0aX-Evil:%201"),
        format!("{backup}/files?d=%0d%0aX-Evil:%201&p=x"),
        format!(
            "{}b/%0d%0aLocation:%20http:%2f%2fevil.example",
            browser.home
        ),
        format!("{backup}/download/%0d%0aX-Evil:%201"),
    ] {
        let answer = browser.get(&path);
        assert!(
            [200, 303, 404].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
        let is_theirs = |name: &str| !answer.header(name).is_empty();
        assert!(!is_theirs("x-evil") && !is_theirs("set-cookie"), "{path}");
        assert!(!answer.header("location").contains("evil"), "{path}");
    }
    let large = "x".repeat(400_000);
    let status = |request: String| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.write_all(request.as_bytes()).ok();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.split(' ')
            .nth(1)
            .map_or(0, |status| status.parse().unwrap())
    };
    for (why, request, may_be) in [
        (
            "a long address",
            get(&format!("{}?{large}", browser.home), &near),
            &[0, 414, 431][..],
        ),
        (
            "a long header",
            get(&browser.home, &[near[0], near[1], ("X", &large)]),
            &[0, 431],
        ),
        (
            "another method in a header",
            get(
                &format!("{backup}/lock"),
                &[near[0], near[1], ("X-HTTP-Method-Override", "POST")],
            ),
            &[405],
        ),
        (
            "two lengths",
            get(
                &browser.home,
                &[
                    near[0],
                    near[1],
                    ("Content-Length", "5"),
                    ("Content-Length", "6"),
                ],
            ),
            &[400],
        ),
        (
            "a length and chunks",
            format!(
                "POST {backup}/lock HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nOrigin: \
                 http://{address}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\
                 Connection: close\r\n\r\n0\r\n\r\n"
            ),
            &[400, 413],
        ),
        (
            "chunks without a length",
            format!(
                "POST {backup}/lock HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nOrigin: \
                 http://{address}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                 0\r\n\r\n"
            ),
            &[413],
        ),
        (
            "a method in small letters",
            get(&browser.home, &near).replacen("GET", "get", 1),
            &[405],
        ),
        (
            "a form to a page",
            post(
                &browser.home,
                "a=b",
                &[near[0], near[1], ("Origin", &format!("http://{address}"))],
            ),
            &[405],
        ),
        ("no HTTP", "\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), &[0, 400]),
    ] {
        let status = status(request);
        assert!(may_be.contains(&status), "{why}: {status}");
    }
}

/// Looks at pages all the time while backups are made and old ones are removed: every answer is
/// a page, and none reports a mistake of the program.
#[test]
fn backups_change_under_readers() {
    let rig = Rig::backed_up();
    let server = server(&rig.store);
    let browser = Browser::start(&server.link());
    let first = browser.backup();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let look = || {
            let mut seen = std::collections::BTreeMap::<u16, u32>::new();
            while !is_done.load(std::sync::atomic::Ordering::SeqCst) {
                for page in ["", "/files", "/photos", "/messages", "/contacts"] {
                    let answer = browser.get(&format!("{first}{page}"));
                    let text = answer.text();
                    assert!(!text.contains("internal error"), "{text}");
                    assert!(answer.status != 500 || text.contains("<h1>This cannot be read"));
                    *seen.entry(answer.status).or_default() += 1;
                }
            }
            seen
        };
        let readers = [scope.spawn(look), scope.spawn(look)];
        for _ in 0..2 {
            rig.create();
        }
        let lock = rig.store.lock(&UDID.parse().unwrap()).unwrap();
        for old in rig.store.snapshots().unwrap() {
            if !old.is_current() {
                std::fs::remove_dir_all(old.path()).unwrap();
            }
        }
        drop(lock);
        thread::sleep(Duration::from_millis(2500));
        is_done.store(true, std::sync::atomic::Ordering::SeqCst);
        readers.map(|reader| reader.join().unwrap())
    });
    assert!(
        seen.iter()
            .all(|seen| seen.contains_key(&200) && seen.contains_key(&404)),
        "{seen:?}"
    );
    assert_eq!(browser.get(&first).status, 404);
    assert_eq!(browser.get(&browser.backup()).status, 200);
}

/// Runs the program: it refuses what others could use, with the next step, and keeps a password as
/// a hash that only this user may read.
#[cfg(unix)]
#[test]
fn program_refuses_open_servers() {
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Stdio;
    let rig = Rig::backed_up();
    let file = rig.dir.path().join("private/hash");
    let run = |arguments: &[&str]| {
        let mut command = program::program(&rig);
        command
            .arg("serve")
            .args(arguments)
            .arg("--password-hash")
            .arg(&file);
        command
    };
    let refused = |arguments: &[&str], words: &str| {
        let ended = run(arguments).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.contains(words) && told.contains("hint: "), "{told}");
    };
    refused(&["--listen", "0.0.0.0:0"], "serve --set-password");
    let set = |password: &str| {
        let mut command = run(&["--set-password"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(password.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    };
    let short = set("short\n");
    assert!(!file.exists() && String::from_utf8_lossy(&short.stderr).contains("too short"));
    let done = set(&format!("{PASSWORD}\n"));
    assert!(done.status.success(), "{done:?}");
    let hash = std::fs::read_to_string(&file).unwrap();
    assert!(hash.starts_with("pbkdf2-sha256$") && !hash.contains(PASSWORD));
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o077,
        0
    );
    refused(&["--listen", "0.0.0.0:0"], "--certificate");
    refused(&["--behind-proxy", "127.0.0.1"], "--hostname");
    let absent = rig.dir.path().join("absent");
    let absent = absent.to_str().unwrap();
    refused(
        &["--certificate", absent, "--key", absent],
        "cannot use the certificate",
    );
    refused(&["--certificate", absent], "serve.key");
    refused(&["--key", absent], "serve.certificate");
    let both = ["--certificate", absent, "--key", absent];
    let both = [&both[..], &["--behind-proxy", "127.0.0.1"]].concat();
    refused(&both, "leave one of them out");
    // The same options from the config file.
    for (key, value) in [
        ("serve.behind-proxy", "127.0.0.1,::1"),
        ("serve.hostname", "backups.example.org,nas"),
        ("serve.listen", "127.0.0.1:0"),
    ] {
        let mut command = program::program(&rig);
        let set = command
            .args(["config", "set", key, value])
            .output()
            .unwrap();
        assert!(set.status.success(), "{set:?}");
    }
    refused(
        &["--certificate", absent, "--key", absent],
        "leave one of them out",
    );
    let first = |arguments: &[&str]| {
        let mut command = run(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        line
    };
    assert_eq!(first(&[]), "https://backups.example.org/\n");
    assert_eq!(first(&["--hostname", "other"]), "https://other/\n");
    for key in ["serve.behind-proxy", "serve.hostname"] {
        let mut command = program::program(&rig);
        let unset = command.args(["config", "unset", key]).output().unwrap();
        assert!(unset.status.success(), "{unset:?}");
    }
    let mut child = run(&["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut link = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut link)
        .unwrap();
    let address = link
        .trim()
        .strip_prefix("http://")
        .unwrap()
        .trim_end_matches('/');
    let host = ("Host", address);
    assert_eq!(
        raw(address, &get("/", &[host])).header("location"),
        "/login"
    );
    let origin = format!("http://{address}");
    let answer = raw(address, &post("/login", FORM, &[host, ("Origin", &origin)]));
    let home = get("/", &[host, ("Cookie", &cookie(&answer))]);
    let home = raw(address, &home).text();
    assert!(
        home.contains("Connected now") && home.contains("Log out"),
        "{home}"
    );
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(!link.contains("token"));
    std::fs::write(&file, "x").unwrap();
    refused(&[], "serve --set-password");
}
