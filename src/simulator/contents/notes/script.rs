//! The notes themselves: every style, tables, attachments, and what goes wrong with notes.

use serde_json::json;

use super::{Account, Bit, Body, Folder, Line, Look, Place, Store, line, plain};
use crate::simulator::contents::picture;
use crate::simulator::contents::rows::{number, text};

/// 4001-01-01 and 1601-01-01 in seconds since 2001.
const FUTURE: i64 = 63_113_904_000;
const PAST: i64 = -12_622_780_800;

/// Tells the whole story.
pub(super) fn tell(store: &mut Store<'_>) -> rusqlite::Result<()> {
    let accounts = [
        store.account("iCloud", 1)?,
        store.account("On My iPhone", 2)?,
    ];
    let notes = store.folder(&accounts, 0, "Notes", None)?;
    let travel = store.folder(&accounts, 0, "Travel", None)?;
    let italy = store.folder(&accounts, 0, "Italy/2024", Some(&travel))?;
    let trash = store.folder(&accounts, 0, "Recently Deleted", None)?;
    let local = store.folder(&accounts, 1, "Notes", None)?;
    styles(store, &accounts, &italy)?;
    tables(store, &accounts, &notes)?;
    files(store, &accounts, &travel)?;
    if store.plan.ios >= 15 {
        tags(store, &accounts, &notes)?;
    }
    let body =
        |title: &str, text: &str| Body::Lines(vec![plain("title", title), plain("body", text)]);
    let cloud = &accounts[notes.account];
    let locked = Body::Locked("The street of the first house");
    store.note(
        cloud,
        &notes,
        "Account numbers",
        locked,
        Vec::new(),
        json!({}),
    )?;
    let gone = body("Old shopping", "Milk, bread");
    store.note(cloud, &trash, "Old shopping", gone, Vec::new(), json!({}))?;
    store.note(
        cloud,
        &notes,
        "New Note",
        Body::Empty,
        Vec::new(),
        json!({}),
    )?;
    let broken = Body::Bytes(b"this is not gzip");
    store.note(cloud, &notes, "Broken", broken, Vec::new(), json!({}))?;
    hostile(store, cloud, &notes)?;
    scripts(store, &accounts, &local)?;
    let odd = body("A date in the year 4001", "And one in 1601");
    let (_, created) = super::note_columns(store.plan.ios);
    store.note(
        cloud,
        &notes,
        "A date in the year 4001",
        odd,
        vec![
            (created, number(PAST)),
            ("ZMODIFICATIONDATE1", number(FUTURE)),
        ],
        json!({
            "created": "1601-01-01T00:00:00Z",
            "modified": "4001-01-01T00:00:00Z",
            "doubts": [
                "the date of its creation is in the year 1601",
                "the date of its last change is in the year 4001",
            ],
        }),
    )
}

fn look(text: &str, look: Look) -> Bit {
    Bit::Text(text.to_owned(), look)
}

fn bit(text: &str) -> Bit {
    look(text, Look::default())
}

/// A note with every style.
fn styles(store: &mut Store<'_>, accounts: &[Account], folder: &Folder) -> rusqlite::Result<()> {
    let base = Look::default();
    let bold = Look { bold: true, ..base };
    let italic = Look {
        italic: true,
        ..base
    };
    let both = Look {
        bold: true,
        italic: true,
        ..base
    };
    let under = Look {
        underline: true,
        ..base
    };
    let struck = Look {
        strikethrough: true,
        ..base
    };
    let linked = Look {
        link: Some("https://example.org/trains?a=1&b=2"),
        ..base
    };
    let evil = Look {
        link: Some("javascript:alert('link')"),
        ..base
    };
    let mut lines = vec![
        plain("title", "Packing for Italy 🇮🇹"),
        plain("heading", "Before the trip"),
        line(
            "body",
            vec![
                bit("Book the "),
                look("night train", linked),
                bit(", "),
                look("not", bold),
                bit(" the "),
                look("bus", struck),
                bit("; "),
                look("ask Ana", italic),
                bit(" or "),
                look("Jun", both),
                bit(" by "),
                look("Friday", under),
                bit(" "),
                look("here", evil),
            ],
        ),
        plain("body", ""),
        plain("subheading", "Bags"),
        plain("dotted", "Passport"),
        plain("dotted", "Clothes"),
        plain("dotted", "Socks * two").at(1),
        plain("dashed", "Camera"),
        plain("numbered", "Lock the door"),
        plain("numbered", "Water the plants"),
        plain("checklist", "Tickets").ticked(true),
        plain("checklist", "Insurance").ticked(false),
        plain("checklist", "Copy of the policy").ticked(false).at(1),
        plain("monospaced", "ssh home && ./lights off"),
        plain("monospaced", "# no `heading`"),
    ];
    if store.plan.ios >= 17 {
        lines.push(plain("body", "The journey is the reward.").quoted());
    }
    lines.push(plain("body", "The end 👩‍👩‍👧"));
    let account = &accounts[folder.account];
    let more = vec![("ZISPINNED", number(1))];
    let truth = if store.plan.ios >= 11 {
        json!({ "pinned": true })
    } else {
        json!({})
    };
    let body = Body::Lines(lines);
    store.note(account, folder, "Packing for Italy 🇮🇹", body, more, truth)
}

fn placed(place: Place) -> Line {
    line("body", vec![Bit::Place(place)])
}

/// Notes with tables, in both directions of writing.
fn tables(store: &mut Store<'_>, accounts: &[Account], folder: &Folder) -> rusqlite::Result<()> {
    let account = &accounts[folder.account];
    let table = store.table(
        &[
            &["Item", "Price", "Paid"],
            &["Coffee | tea", "", "<b>yes</b>"],
            &["Cake 🍰", "£4.50\nwith cream", "no"],
        ],
        false,
    )?;
    let lines = vec![
        plain("title", "Costs"),
        placed(table),
        plain("body", "All in pounds."),
    ];
    store.note(
        account,
        folder,
        "Costs",
        Body::Lines(lines),
        Vec::new(),
        json!({}),
    )?;
    let table = store.table(&[&["اسم", "رقم"], &["نور", "٧"]], true)?;
    let lines = vec![plain("title", "قائمة"), placed(table)];
    store.note(
        account,
        folder,
        "قائمة",
        Body::Lines(lines),
        Vec::new(),
        json!({}),
    )?;
    // Data that does not hold a table.
    let data = rusqlite::types::Value::Blob(super::encode::packed(b"\x12\x02\x1a\x00"));
    let column = if store.plan.ios >= 13 {
        "ZMERGEABLEDATA1"
    } else {
        "ZMERGEABLEDATA"
    };
    let truth = json!({ "undecodable": true });
    let uti = "com.apple.notes.table";
    let (broken, _) = store.attachment("ICAttachment", uti, vec![(column, data)], truth)?;
    let lines = vec![plain("title", "A broken table"), placed(broken)];
    store.note(
        account,
        folder,
        "A broken table",
        Body::Lines(lines),
        Vec::new(),
        json!({}),
    )
}

/// A note with files, a page, a drawing and a scan.
fn files(store: &mut Store<'_>, accounts: &[Account], folder: &Folder) -> rusqlite::Result<()> {
    let account = &accounts[folder.account];
    let png = picture::png(40, store.plan.pick(&[66], u64::MAX));
    let photo = store.file(
        account,
        "public.png",
        "Colosseum <1>.png",
        Some(png.clone()),
        None,
    )?;
    let missing = store.file(account, "com.adobe.pdf", "Ticket.pdf", None, None)?;
    let (page, _) = store.attachment(
        "ICAttachment",
        "public.url",
        vec![
            ("ZURLSTRING", text("https://example.org/museum")),
            ("ZTITLE", text("Museum [open] daily")),
        ],
        json!({ "url": "https://example.org/museum", "name": "Museum [open] daily" }),
    )?;
    let generation = "1_A1";
    let (mut drawing, _) = store.attachment(
        "ICAttachment",
        "com.apple.drawing.2",
        vec![("ZFALLBACKIMAGEGENERATION", text(generation))],
        json!({}),
    )?;
    let images = format!("Accounts/{}/FallbackImages/{}", account.guid, drawing.guid);
    let path = if store.plan.ios >= 17 {
        format!("{images}/{generation}/FallbackImage.png")
    } else {
        format!("{images}.jpg")
    };
    store.contents.file(super::DOMAIN, &path, png.clone());
    drawing.truth["file"] = "in_backup".into();
    drawing.truth["path"] = path.into();
    let mut lines = vec![
        plain("title", "Rome"),
        placed(photo),
        line(
            "body",
            vec![bit("Ticket: "), Bit::Place(missing), bit(" (both)")],
        ),
        placed(page),
        placed(drawing),
    ];
    if store.plan.ios >= 11 {
        let uti = "com.apple.notes.gallery";
        let (mut scan, row) = store.attachment("ICAttachment", uti, Vec::new(), json!({}))?;
        let mut parts = Vec::new();
        for page in 1..=2 {
            let name = format!("Page {page}.png");
            let made = store.file(account, "public.png", &name, Some(png.clone()), Some(row))?;
            parts.push(made.truth);
        }
        scan.truth["parts"] = parts.into();
        lines.push(placed(scan));
    }
    // The row of this attachment is gone.
    let guid = store.plan.uuid(67, 1);
    let truth = json!({ "guid": guid.clone(), "uti": "public.jpeg", "file": "missing" });
    let uti = "public.jpeg";
    lines.push(placed(Place { guid, uti, truth }));
    store.note(
        account,
        folder,
        "Rome",
        Body::Lines(lines),
        Vec::new(),
        json!({}),
    )
}

/// A note with a tag and a mention.
fn tags(store: &mut Store<'_>, accounts: &[Account], folder: &Folder) -> rusqlite::Result<()> {
    let account = &accounts[folder.account];
    let inline = |store: &Store<'_>, uti, shown: &str| {
        let made = store.attachment(
            "ICInlineAttachment",
            uti,
            vec![("ZALTTEXT", text(shown))],
            json!({ "text": shown }),
        );
        made.map(|(place, _)| Bit::Place(place))
    };
    let tag = "com.apple.notes.inlinetextattachment.hashtag";
    let mention = "com.apple.notes.inlinetextattachment.mention";
    let bits = vec![
        bit("Dinner with "),
        inline(store, mention, "@Ana Größe")?,
        bit(": "),
        inline(store, tag, "#recipes")?,
        bit(" "),
        inline(store, tag, "#été_2024")?,
        bit(" "),
        inline(store, tag, "#recipes")?,
    ];
    let lines = vec![plain("title", "Dinner"), line("body", bits)];
    let truth = json!({ "tags": ["recipes", "été_2024"] });
    store.note(
        account,
        folder,
        "Dinner",
        Body::Lines(lines),
        Vec::new(),
        truth,
    )
}

/// A note that would do harm in a file name, a page or a text with styles.
fn hostile(store: &mut Store<'_>, account: &Account, folder: &Folder) -> rusqlite::Result<()> {
    let title = "../../<script>alert('note')</script>: \"x\"";
    let lines = vec![
        plain("title", title),
        plain("body", "---"),
        plain(
            "body",
            "# no heading, <img src=x onerror=alert(1)> and [a](javascript:alert(2))",
        ),
        plain("body", "1. no list * **no bold** `no code` &amp; \\"),
        plain("body", "=1+1\u{202e}gpj.exe"),
        plain("monospaced", "``` no end of code"),
    ];
    store.note(
        account,
        folder,
        title,
        Body::Lines(lines),
        Vec::new(),
        json!({}),
    )?;
    // The same title once more.
    let lines = vec![plain("title", title)];
    store.note(
        account,
        folder,
        title,
        Body::Lines(lines),
        Vec::new(),
        json!({}),
    )
}

/// Notes in other scripts, on the phone only.
fn scripts(store: &mut Store<'_>, accounts: &[Account], folder: &Folder) -> rusqlite::Result<()> {
    let account = &accounts[folder.account];
    let bold = Look {
        bold: true,
        ..Look::default()
    };
    let lines = vec![
        plain("title", "שלום 👋🏽"),
        line(
            "body",
            vec![bit("😀😀"), look("𝒷old 写真", bold), bit(" é̂")],
        ),
    ];
    let body = Body::Lines(lines);
    store.note(account, folder, "שלום 👋🏽", body, Vec::new(), json!({}))
}
