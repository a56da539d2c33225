//! Actions of the pages: each runs as a job, shows its progress, and refuses forms of others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idev_backup::automation::policy::{Described, Plan};
use idev_backup::automation::pushing::PushConditions;
use idev_backup::automation::schedule::install::Places;
use idev_backup::automation::schedule::job_state::Jobs;
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::progress::Silent;
use idev_backup::simulator::{Passcode, Password, PhoneConfig};
use idev_backup::web::{Acting, Pushing, Schedule, Server};

use crate::rig::*;
use crate::web::{Answer, Browser, all_pages, get, links, server, server_with};

/// Longest time that a test waits for a job.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Returns the means to act on the phone of a rig.
fn acting(rig: &Rig) -> Acting {
    let connector = rig.connector_with(CancelToken::new(Arc::default()));
    Acting {
        connect: Box::new(move || Ok(connector.clone())),
        backup: options(),
        plan: Plan {
            may_sleep: true,
            ..Plan::default()
        },
        push: None,
        schedule: Some(schedule(rig)),
        describe: |e| Described {
            text: e.to_string(),
            exit_code: 1,
            hint: Some("an advice".to_owned()),
        },
        changed: |_| (),
        restore_command: |folder: &Path| format!("restore {}", folder.display()),
    }
}

/// Returns jobs in a folder of the rig, which no scheduler knows.
fn schedule(rig: &Rig) -> Schedule {
    let folder = rig.dir.path().join("jobs");
    let (to_add, to_remove) = (folder.clone(), folder.clone());
    let places = Places {
        home: folder.clone(),
        config: folder.clone(),
    };
    Schedule {
        jobs: Jobs { folder, places },
        add: Box::new(move |name, when, store| {
            if name == "daily-3" {
                return Err(Described {
                    text: "no scheduler".to_owned(),
                    exit_code: 1,
                    hint: Some("an advice".to_owned()),
                });
            }
            std::fs::create_dir_all(&to_add).unwrap();
            let job = serde_json::json!({
                "version": 1, "name": name, "when": when.to_string(), "with": "cron",
                "arguments": ["create", "--store", store.root()],
                "folder": to_add, "environment": {},
            });
            std::fs::write(to_add.join(format!("{name}.json")), job.to_string()).unwrap();
            Ok(())
        }),
        remove: Box::new(move |name| {
            std::fs::remove_file(to_remove.join(format!("{name}.json"))).unwrap();
            Ok(())
        }),
    }
}

/// Adds daily jobs, shows when they run next, reports a scheduler that fails, and removes only jobs
/// for this store.
#[test]
fn schedule_is_changed_by_page() {
    let rig = Rig::backed_up();
    let desk = Desk::at(&rig);
    let schedule = format!("{}schedule", desk.browser.home);
    assert!(
        desk.browser
            .page(&schedule)
            .contains("No backup is scheduled")
    );
    let (add, remove) = (format!("{schedule}/add"), format!("{schedule}/remove"));
    for time in ["22:00", "06%3A30"] {
        let answer = desk.send(&add, time);
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, &*schedule),
            "{time}"
        );
    }
    for wrong in ["", "24:00", "x", "22:00+x", "../x"] {
        assert_eq!(desk.send(&add, wrong).status, 409, "{wrong}");
    }
    let failed = desk.send(&add, "22:00").text();
    assert!(
        failed.contains("no scheduler") && failed.contains("an advice"),
        "{failed}"
    );
    let page = desk.browser.page(&schedule);
    assert!(
        page.contains("daily 22:00") && page.contains("daily 06:30"),
        "{page}"
    );
    let home = desk.browser.page(&desk.browser.home);
    assert!(home.contains("Next scheduled backup: "), "{home}");
    let other = rig.dir.path().join("jobs/other.json");
    let job = std::fs::read_to_string(rig.dir.path().join("jobs/daily.json")).unwrap();
    let root = rig.store.root().display().to_string();
    let job = job
        .replace("\"daily\"", "\"other\"")
        .replace(&root, "/elsewhere");
    std::fs::write(&other, job).unwrap();
    for wrong in ["other", "../daily", "x"] {
        assert_eq!(desk.send(&remove, wrong).status, 404, "{wrong}");
    }
    assert_eq!(desk.send(&remove, "daily").status, 303);
    let page = desk.browser.page(&schedule);
    assert!(
        !page.contains("daily 22:00") && page.contains("daily-2"),
        "{page}"
    );
    assert!(other.exists() && !page.contains("other"));
}

/// A browser at a server that acts on a rig.
struct Desk {
    browser: Browser,
    _server: Server,
}

impl Desk {
    fn at(rig: &Rig) -> Desk {
        Desk::with(rig, acting(rig))
    }

    fn with(rig: &Rig, acting: Acting) -> Desk {
        let server = server_with(&rig.store, Some(acting));
        Desk {
            browser: Browser::start(&server.link()),
            _server: server,
        }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.browser.address)
    }

    /// Sends a form as the page does that has it.
    fn send(&self, path: &str, value: &str) -> Answer {
        let home = self.browser.page(&self.phone());
        let check = check(&home);
        let form = format!("check={check}&value={value}");
        self.browser.post(path, &form, &self.origin())
    }

    fn phone(&self) -> String {
        format!("{}phone/{UDID}", self.browser.home)
    }

    /// Starts a job and returns the address of its page.
    fn start(&self, path: &str, value: &str) -> String {
        let answer = self.send(path, value);
        assert_eq!(answer.status, 303, "{path}: {}", answer.text());
        let to = answer.header("location").to_owned();
        assert!(to.contains("/job/"), "{to}");
        to
    }

    /// Waits until a page contains a text, and returns the page.
    fn wait_for(&self, path: &str, words: &str) -> String {
        let begun = Instant::now();
        loop {
            let page = self.browser.page(path);
            if page.contains(words) {
                return page;
            }
            assert!(begun.elapsed() < WAIT_MAX, "no {words:?} in {page}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Returns the value that the forms of a page carry.
pub(crate) fn check(page: &str) -> String {
    let pattern = regex::Regex::new("name=\"check\" value=\"([0-9a-f]{64})\"").unwrap();
    pattern.captures(page).unwrap()[1].to_owned()
}

/// Reads a stream of events until it has a text.
fn stream_until(browser: &Browser, path: &str, words: &str) -> String {
    let (address, cookie) = (&*browser.address, &*browser.cookie);
    let request = get(path, &[("Host", address), ("Cookie", cookie)]);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part).unwrap();
        text.extend_from_slice(&part[..read]);
        let so_far = String::from_utf8_lossy(&text);
        if so_far.contains(words) {
            return so_far.into_owned();
        }
        assert!(read > 0, "the stream ended: {so_far}");
    }
}

/// Pushes after a backup. A push that fails, or that the conditions delay, leaves the backup good.
#[test]
fn failed_push_leaves_the_backup() {
    let rig = Rig::new();
    let noted = rig.dir.path().join("noted");
    let hook = if cfg!(windows) {
        format!("findstr \"^\" >> \"{}\"", noted.display())
    } else {
        format!("cat >> '{}'", noted.display())
    };
    let mut acting = acting(&rig);
    acting.plan.hooks.on_push_failure = Some(hook);
    acting.push = Some(Pushing {
        location: Some("/nas/repository".to_owned()),
        conditions: PushConditions::default(),
        push: Box::new(|store, token, _| {
            assert!(!token.cancelled() && store.snapshots().unwrap().len() == 1);
            Err(Described {
                text: "the nas is <b>away</b>".to_owned(),
                exit_code: 3,
                hint: Some("switch it on".to_owned()),
            })
        }),
    });
    let desk = Desk::with(&rig, acting);
    let page = backed_up(&desk);
    for words in [
        "Done in ",
        "Problem: the push to the repository failed: the nas is &lt;b&gt;away&lt;/b&gt;",
        "switch it on",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_whole(&rig.current());
    let copies = rig.store.copies().unwrap();
    let failed = copies[0].failed.as_ref().unwrap();
    assert_eq!(failed.why, "the nas is <b>away</b>");
    let told = std::fs::read_to_string(&noted).unwrap();
    assert!(
        told.contains("on_push_failure") && told.contains("switch it on"),
        "{told}"
    );

    let mut acting = crate::web_acting::acting(&rig);
    acting.push = Some(Pushing {
        location: Some("/nas/repository".to_owned()),
        conditions: PushConditions {
            only_if: Some("exit 3".to_owned()),
            time_limit: WAIT_MAX,
            ..PushConditions::default()
        },
        push: Box::new(|_, _, _| panic!("the conditions are against it")),
    });
    let page = backed_up(&Desk::with(&rig, acting));
    assert!(
        page.contains("Nothing was pushed elsewhere: the command"),
        "{page}"
    );
    assert!(!page.contains("Problem:"), "{page}");
}

/// Makes a backup from the pages and returns the page of its job at the end.
fn backed_up(desk: &Desk) -> String {
    let home = desk.wait_for(&desk.browser.home, "Back up now");
    let to = format!("{}phone/{UDID}/back-up", desk.browser.home);
    let form = format!("check={}", check(&home));
    let answer = desk.browser.post(&to, &form, &desk.origin());
    assert_eq!(answer.status, 303, "{}", answer.text());
    let job = answer.header("location").to_owned();
    desk.wait_for(&job, "Done in ")
}

/// Backs up a phone that asks for its passcode: pages without a script and the stream of events
/// show it, and the new backup is there at the end.
#[test]
fn backup_runs_from_a_page() {
    let rig = Rig::with(PhoneConfig {
        passcode: Passcode::Never,
        ..config()
    });
    let desk = Desk::at(&rig);
    let home = desk.wait_for(&desk.browser.home, "Back up now");
    assert!(home.contains("Mira&#39;s iPhone") && home.contains("iPhone 15 Pro"));
    let to = format!("{}phone/{UDID}/back-up", desk.browser.home);
    let form = format!("check={}", check(&home));
    let answer = desk.browser.post(&to, &form, &desk.origin());
    assert_eq!(answer.status, 303, "{}", answer.text());
    let job = answer.header("location").to_owned();
    let page = desk.wait_for(&job, "Enter the passcode on the phone");
    assert!(page.contains("http-equiv=\"refresh\"") && page.contains("Cancel"));
    let other = desk.browser.post(&to, &form, &desk.origin());
    assert_eq!(other.header("location"), format!("{job}?busy=1"));
    let home = desk.browser.page(&desk.browser.home);
    assert!(home.contains("Enter the passcode on the phone"), "{home}");
    let told = stream_until(
        &desk.browser,
        &format!("{job}/live"),
        "Enter the passcode on the phone",
    );
    assert!(told.contains("content-type: text/event-stream"), "{told}");
    rig.phone.enter_passcode();
    let ended = stream_until(&desk.browser, &format!("{job}/live"), "\"ended\":true");
    assert!(ended.contains("Done in "), "{ended}");
    let page = desk.browser.page(&job);
    assert!(!page.contains("http-equiv=\"refresh\"") && !page.contains("Cancel"));
    assert_eq!(rig.store.snapshots().unwrap().len(), 1);
    assert!(desk.browser.backup().contains("/b/"));
}

#[test]
fn cancelled_backup_leaves_the_last_one() {
    let rig = Rig::with(PhoneConfig {
        passcode: Passcode::Never,
        ..config()
    });
    let desk = Desk::at(&rig);
    desk.wait_for(&desk.browser.home, "Back up now");
    let page = desk.browser.page(&desk.browser.home);
    let form = format!("check={}", check(&page));
    let to = format!("{}phone/{UDID}/back-up", desk.browser.home);
    let answer = desk.browser.post(&to, &form, &desk.origin());
    let job = answer.header("location").to_owned();
    desk.wait_for(&job, "Enter the passcode on the phone");
    let cancel = desk
        .browser
        .post(&format!("{job}/cancel"), &form, &desk.origin());
    assert_eq!((cancel.status, cancel.header("location")), (303, &*job));
    desk.wait_for(&job, "Cancelled. The last backup is as it was");
    assert!(rig.store.snapshots().unwrap().is_empty());
}

/// Runs both checks and a rehearsal of a plain backup, and what they find of a damaged one.
#[test]
fn checks_and_rehearsals_tell_the_truth() {
    let rig = Rig::backed_up();
    let desk = Desk::at(&rig);
    let backup = desk.browser.backup();
    let manage = desk.browser.page(&format!("{backup}/manage"));
    assert!(manage.contains("restore ") && manage.contains("not yet since it was made"));
    for (action, value, words) in [
        ("verify", "bytes", "WHOLE."),
        ("verify", "deep", "WHOLE."),
        ("rehearse", "", "REHEARSED."),
    ] {
        let job = desk.start(&format!("{backup}/{action}"), value);
        let page = desk.wait_for(&job, words);
        assert!(page.contains("class=\"good\""), "{page}");
    }
    let manage = desk.browser.page(&format!("{backup}/manage"));
    assert!(manage.contains("every byte compared"), "{manage}");
    let folder = rig.store.root().join(UDID);
    std::fs::remove_file(folder.join("Info.plist")).unwrap();
    let large = rig.phone.files().max_by_key(|entry| entry.size()).unwrap();
    let id = idev_backup::backup_format::record::file_id(&large.domain, &large.path);
    let file = folder.join(&id[..2]).join(&id);
    std::fs::write(&file, vec![7; large.size() as usize]).unwrap();
    let job = desk.start(&format!("{backup}/verify"), "bytes");
    let page = desk.wait_for(&job, "DAMAGED.");
    assert!(
        page.contains("class=\"bad\"") && page.contains(&id),
        "{page}"
    );
}

/// Checks that actions on an encrypted backup ask for the password where they need it, and that no
/// page shows it.
#[test]
fn encrypted_backups_ask_before_they_act() {
    let rig = Rig::with(PhoneConfig {
        backup_password: Some(Password::new("a pass & word")),
        ..config()
    });
    rig.try_create(&options(), &Silent).unwrap();
    let desk = Desk::at(&rig);
    let backup = desk.browser.backup();
    desk.browser.page(&format!("{backup}/manage"));
    for (action, value) in [("verify", "deep"), ("rehearse", "")] {
        let answer = desk.send(&format!("{backup}/{action}"), value);
        let to = format!("{backup}/unlock?then=manage");
        assert_eq!((answer.status, answer.header("location")), (303, &*to));
    }
    let unlock = format!("{backup}/unlock?then=manage");
    assert!(desk.browser.page(&unlock).contains("unlock?then=manage"));
    let form = "password=a+pass+%26+word";
    let answer = desk.browser.post(&unlock, form, &desk.origin());
    assert_eq!(answer.header("location"), format!("{backup}/manage"));
    for (action, words) in [("verify", "WHOLE."), ("rehearse", "REHEARSED.")] {
        let job = desk.start(&format!("{backup}/{action}"), "deep");
        let page = desk.wait_for(&job, words);
        assert!(!page.contains("a pass &"), "{page}");
    }
}

#[test]
fn pins_and_tags_are_noted() {
    let rig = Rig::backed_up();
    let desk = Desk::at(&rig);
    let backup = desk.browser.backup();
    let manage = format!("{backup}/manage");
    for (action, value, words) in [
        ("pin", "yes", "It is pinned"),
        ("tag", "before+iOS+27", "before iOS 27"),
        ("tag", "%3Cscript%3E", "&lt;script&gt;"),
        ("pin", "no", "A pinned or tagged backup stays"),
    ] {
        let answer = desk.send(&format!("{backup}/{action}"), value);
        assert_eq!((answer.status, answer.header("location")), (303, &*manage));
        let page = desk.browser.page(&manage);
        assert!(page.contains(words) && !page.contains("<script>"), "{page}");
    }
    for value in ["latest", "", "%0a", "a%00b"] {
        let answer = desk.send(&format!("{backup}/tag"), value);
        assert!(answer.text().contains("role=\"alert\""), "{value}");
    }
    desk.send(&format!("{backup}/untag"), "before+iOS+27");
    assert!(!desk.browser.page(&manage).contains("before iOS 27"));
}

/// Checks that pages which were made before a job ended learn of its end, also when they open
/// their stream later, and however many jobs have ended.
#[test]
fn old_pages_learn_of_ended_jobs() {
    let rig = Rig::backed_up();
    let desk = Desk::at(&rig);
    let backup = desk.browser.backup();
    let pages = [desk.browser.home.clone(), desk.phone()];
    let streams = || {
        pages
            .clone()
            .map(|page| stream_of(&desk.browser.page(&page)))
    };
    let mut old = Vec::new();
    for _ in 0..22 {
        old.extend(streams());
        let job = desk.start(&format!("{backup}/verify"), "bytes");
        desk.wait_for(&job, "WHOLE.");
    }
    for stream in &old {
        let told = stream_until(&desk.browser, stream, "\"ended\":true");
        assert!(told.contains("Load the page again"), "{told}");
    }
    for stream in streams() {
        let told = stream_until(&desk.browser, &stream, "\"ended\":");
        assert!(!told.contains("Load the page again"), "{told}");
    }
}

/// Returns the address of the stream that a page follows.
fn stream_of(page: &str) -> String {
    let pattern = regex::Regex::new("data-live=\"([^\"]+)\"").unwrap();
    pattern.captures(page).unwrap()[1].to_owned()
}

/// Returns the value that stands for the warnings which a page showed.
fn shown(page: &str) -> String {
    let pattern = regex::Regex::new("name=\"shown\" value=\"([0-9a-f]{64})\"").unwrap();
    pattern.captures(page).unwrap()[1].to_owned()
}

/// Checks that a deletion needs the word, refuses a pinned backup and one whose warnings have
/// changed, and removes the one it showed.
#[test]
fn deletion_asks_first() {
    let rig = Rig::backed_up();
    rig.create();
    let desk = Desk::at(&rig);
    let phone = desk.browser.page(&desk.phone());
    let backups: Vec<String> = links(&phone)
        .into_iter()
        .filter(|link| link.contains("/b/") && link.matches('/').count() == 3)
        .collect();
    assert_eq!(backups.len(), 2, "{backups:?}");
    let newest = desk.browser.backup();
    let older = backups.iter().find(|link| **link != newest).unwrap();
    let delete = format!("{older}/delete");
    let page = desk.browser.page(&delete);
    assert!(
        page.contains("permanently") && page.contains("Type <code>yes"),
        "{page}"
    );
    assert!(!page.contains("ONLY backup"), "{page}");
    let yes = |page: &str| format!("yes&shown={}", shown(page));
    let wrong = desk.send(&delete, &format!("no&shown={}", shown(&page)));
    assert_eq!(wrong.header("location"), format!("{delete}?wrong=1"));
    assert!(
        desk.browser
            .page(&format!("{delete}?wrong=1"))
            .contains("Nothing was deleted")
    );
    desk.send(&format!("{older}/pin"), "yes");
    assert_eq!(desk.send(&delete, &yes(&page)).status, 409);
    assert_eq!(rig.store.snapshots().unwrap().len(), 2);
    desk.send(&format!("{older}/pin"), "no");
    desk.send(&format!("{older}/tag"), "before+iOS+27");
    for of_other_page in [yes(&page), "yes".to_owned()] {
        let answer = desk.send(&delete, &of_other_page);
        assert_eq!(answer.header("location"), format!("{delete}?other=1"));
    }
    let again = desk.browser.page(&format!("{delete}?other=1"));
    assert!(
        again.contains("has changed since") && again.contains("tagged before iOS 27"),
        "{again}"
    );
    assert_eq!(rig.store.snapshots().unwrap().len(), 2);
    let job = desk.start(&delete, &yes(&again));
    desk.wait_for(&job, "was deleted.");
    assert_eq!(rig.store.snapshots().unwrap().len(), 1);
    assert_eq!(desk.browser.get(older).status, 404);
    let page = desk.browser.page(&format!("{newest}/delete"));
    assert!(
        page.contains("ONLY backup") && page.contains("current backup"),
        "{page}"
    );
}

/// Sends each action without the value of the session, with another one, from other origins and
/// with other methods.
#[test]
fn forged_forms_are_refused() {
    let rig = Rig::backed_up();
    let desk = Desk::at(&rig);
    let backup = desk.browser.backup();
    let right = check(&desk.browser.page(&format!("{backup}/manage")));
    let elsewhere = Desk::at(&rig);
    let of_other = check(&elsewhere.browser.page(&elsewhere.phone()));
    let (browser, origin) = (&desk.browser, desk.origin());
    let mut actions: Vec<String> = ["verify", "rehearse", "pin", "tag", "untag", "delete"]
        .iter()
        .map(|action| format!("{backup}/{action}"))
        .collect();
    actions.push(format!("{}phone/{UDID}/back-up", browser.home));
    actions.push(format!("{}job/1/cancel", browser.home));
    actions.push(format!("{}schedule/add", browser.home));
    actions.push(format!("{}schedule/remove", browser.home));
    for action in &actions {
        let forms = [
            "value=yes".to_owned(),
            "check=&value=yes".to_owned(),
            format!("check={of_other}&value=yes"),
            format!("check={}&value=yes", &right[1..]),
            "\u{fffd}".to_owned(),
        ];
        for form in forms {
            assert_eq!(
                browser.post(action, &form, &origin).status,
                403,
                "{action} {form}"
            );
        }
        let form = format!("check={right}&value=yes");
        for foreign in ["http://evil.example", "null", "https://127.0.0.1:1"] {
            assert_eq!(browser.post(action, &form, foreign).status, 403, "{action}");
        }
        let get = browser.get(&format!("{action}?{form}"));
        assert!([200, 405].contains(&get.status), "{action}: {}", get.status);
        let long = format!("{form}&more={}", "x".repeat(10_000));
        assert_eq!(browser.post(action, &long, &origin).status, 413, "{action}");
    }
    assert_eq!(rig.store.snapshots().unwrap().len(), 1);
    assert!(!rig.dir.path().join("jobs").exists());
    let page = browser.page(&format!("{backup}/manage"));
    assert!(page.contains("not yet since it was made"), "{page}");
}

#[test]
fn reading_pages_have_no_actions() {
    let rig = Rig::backed_up();
    let server = server(&rig.store);
    let browser = Browser::start(&server.link());
    for (path, answer) in all_pages(&browser) {
        if answer.header("content-type").starts_with("text/html") {
            let page = answer.text();
            assert!(!page.contains("method=\"post\""), "{path}: {page}");
            let policy = answer.header("content-security-policy");
            assert!(!policy.contains("script-src"), "{path}: {policy}");
        }
    }
    let backup = browser.backup();
    let origin = format!("http://{}", browser.address);
    for path in [
        format!("{backup}/verify"),
        format!("{backup}/delete"),
        format!("{}phone/{UDID}/back-up", browser.home),
        format!("{}job/1/cancel", browser.home),
    ] {
        assert_eq!(browser.post(&path, "check=", &origin).status, 404, "{path}");
    }
    assert_eq!(browser.get(&format!("{backup}/manage")).status, 404);
}

/// Checks that pages say that another process works on a phone, and that a backup then fails with
/// a reason and advice.
#[test]
fn lock_of_another_process_is_shown() {
    let rig = Rig::backed_up();
    let desk = Desk::at(&rig);
    desk.wait_for(&desk.browser.home, "Back up now");
    let lock = rig.store.lock(&UDID.parse().unwrap()).unwrap();
    for path in [desk.phone(), desk.browser.home.clone()] {
        let page = desk.browser.page(&path);
        assert!(
            page.contains("Another run of the program"),
            "{path}: {page}"
        );
    }
    let manage = desk
        .browser
        .page(&format!("{}/manage", desk.browser.backup()));
    assert!(manage.contains("Another run of the program"), "{manage}");
    let form = format!("check={}", check(&manage));
    let to = format!("{}phone/{UDID}/back-up", desk.browser.home);
    let answer = desk.browser.post(&to, &form, &desk.origin());
    let page = desk.wait_for(answer.header("location"), "It failed");
    assert!(page.contains("Advice: an advice"), "{page}");
    drop(lock);
    let page = desk.browser.page(&desk.phone());
    assert!(!page.contains("Another run of the program"), "{page}");
}

/// Follows every link of the pages with actions: each page is there and inert.
#[test]
fn acting_pages_are_inert() {
    let rig = Rig::backed_up();
    let desk = Desk::at(&rig);
    let backup = desk.browser.backup();
    desk.send(&format!("{backup}/tag"), "%3Cimg+src%3Dx%3E");
    let job = desk.start(&format!("{backup}/verify"), "bytes");
    desk.wait_for(&job, "WHOLE.");
    let pages = all_pages(&desk.browser);
    let has = |end: &str| pages.iter().any(|(path, _)| path.ends_with(end));
    assert!(has("/manage") && has("/delete") && has("/job/1"));
    for (path, answer) in &pages {
        let text = String::from_utf8_lossy(&answer.body);
        if answer.header("content-type").starts_with("text/html") {
            assert!(!text.contains("<img src=x"), "{path}");
            let scripts = text.matches("<script").count();
            let ours = text.matches("/live.js\" defer></script>").count();
            assert_eq!(scripts, ours, "{path}: {text}");
        }
    }
}
