//! The messages that every simulated phone has: one of each kind, and of each oddity.

use plist::Value as Plist;
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

use super::super::keyed_archive::{Node, archive};
use super::super::people::{ANA, COMPANY, JOERG, JUN, NUR, Person, ROBERT, STRANGER};
use super::super::rfc3339;
use super::super::typedstream::{Attr, Run};
use super::{Draft, File, State, Story, Talk, place, run, summary, versions};
use crate::simulator::dict;

/// A text longer than a length of 16 bits can say.
const LONG_WORDS: usize = 13_200;
/// A page that would run if it were not escaped, and a formula.
const PAGE: &str = "<script>alert('message')</script><img src=x onerror=alert(1)> &amp; \"quotes\"";
const FORMULA: &str = "=HYPERLINK(\"http://example.com/\",\"click\")";

/// Writes all of them.
pub(super) fn tell(story: &mut Story<'_>) -> rusqlite::Result<()> {
    let ana = story.talk(&[ANA], None, &["iMessage", "SMS"])?;
    texts(story, &ana)?;
    files(story, &ana)?;
    if story.plan.ios >= 10 {
        reactions(story, &ana)?;
        balloons(story, &ana)?;
    }
    changes(story, &ana)?;
    let group = story.talk(&[ANA, NUR, JOERG], Some("Hiking 🏔️"), &["iMessage"])?;
    events(story, &group)?;
    let company = story.talk(&[COMPANY], None, &["SMS"])?;
    // The phone marks what it found in a text: here, a code.
    let mut code = run("349 112", 0);
    let found = Attr::Data(b"bplist00 of what was found".to_vec());
    code.attributes
        .push(("__kIMDataDetectedAttributeName", found));
    let runs = vec![run("Your code is ", 0), code, run(". Do not share it.", 0)];
    story.send(Some(&company), Draft::runs(Some(COMPANY), runs).by("SMS"))?;
    let stranger = story.talk(&[STRANGER], None, &["SMS"])?;
    let text = "Who is this?";
    story.send(Some(&stranger), Draft::text(Some(STRANGER), text).by("SMS"))?;
    hostile(story)?;
    times(story)?;
    deleted(story, &ana)
}

fn texts(story: &mut Story<'_>, talk: &Talk) -> rusqlite::Result<()> {
    let hello = story.send(
        Some(talk),
        Draft::text(Some(ANA), "Hello! Have you arrived?"),
    )?;
    let sent = story.clock + 300;
    let draft = Draft::text(None, "Yes, an hour ago 🎉 It is lovely here.")
        .with("date_delivered", story.date(sent + 7200))
        .with("date_read", story.date(sent + 7260))
        .known("delivered", rfc3339(sent + 7200))
        .known("read", rfc3339(sent + 7260));
    story.send(Some(talk), draft)?;
    for text in [
        "مرحبا، كيف حالك اليوم؟ 😊",
        "שלום! נתראה ב-18:30",
        "写真を送ってください 📷",
        "👨‍👩‍👧‍👦🏳️‍🌈 e\u{301}",
        "Two lines:\nthe first and\r\nthe second\u{2028}and a third",
    ] {
        story.send(Some(talk), Draft::text(Some(ANA), text))?;
    }
    let draft = Draft::text(Some(ANA), "This came by SMS.").by("SMS");
    story.send(Some(talk), draft)?;
    if story.plan.ios >= 14 {
        let draft = Draft::text(None, "This answers your first message.")
            .with("thread_originator_guid", hello.clone())
            .with("thread_originator_part", "0:0:24".to_owned())
            .known("reply_to", json!({ "guid": hello, "part": 0 }));
        story.send(Some(talk), draft)?;
        let gone = story.plan.uuid(41, 0);
        let draft = Draft::text(Some(ANA), "This answers a message that is gone.")
            .with("thread_originator_guid", gone.clone())
            .known("reply_to", json!({ "guid": gone }));
        story.send(Some(talk), draft)?;
    }
    let draft = Draft::text(None, "This was not delivered.")
        .with("error", Sql::Integer(22))
        .known("error", 22);
    story.send(Some(talk), draft)?;
    let effect = "com.apple.messages.effect.CKConfettiEffect";
    let draft = Draft::text(Some(ANA), "Happy birthday!")
        .with("expressive_send_style_id", effect.to_owned())
        .with("subject", "Congratulations".to_owned())
        .known("subject", "Congratulations");
    story.send(Some(talk), draft)?;
    if story.plan.ios >= 10 {
        story.known("effect", effect.into());
    }
    if story.plan.ios >= 18 {
        styled(story, talk)?;
    }
    Ok(())
}

fn styled(story: &mut Story<'_>, talk: &Talk) -> rusqlite::Result<()> {
    let with = |text: &str, more: Vec<(&'static str, Attr)>| {
        let mut run = run(text, 0);
        run.attributes.extend(more);
        run
    };
    let on = Attr::Number(1);
    let runs = vec![
        with("Bold", vec![("__kIMTextBoldAttributeName", on.clone())]),
        with(" and ", Vec::new()),
        with(
            "both",
            vec![
                ("__kIMTextBoldAttributeName", on.clone()),
                ("__kIMTextItalicAttributeName", on.clone()),
            ],
        ),
        with(" and ", Vec::new()),
        with(
            "big",
            vec![("__kIMTextEffectAttributeName", Attr::Number(5))],
        ),
        with("!", Vec::new()),
    ];
    let styles = json!([
        { "start": 0, "length": 4, "style": "bold" },
        { "start": 9, "length": 4, "style": "bold" },
        { "start": 9, "length": 4, "style": "italic" },
        { "start": 18, "length": 3, "style": "effect", "value": "big" },
    ]);
    story.send(Some(talk), Draft::runs(None, runs).known("styles", styles))?;
    Ok(())
}

fn files(story: &mut Story<'_>, talk: &Talk) -> rusqlite::Result<()> {
    let (one, other) = (story.picture(0), story.picture(1));
    // A picture before its text, then two pictures around a text.
    let first = File::new("IMG_0042.png", "public.png", "image/png", &one);
    attached(
        story,
        talk,
        Some(ANA),
        &[Piece::File(first), Piece::Text("The view from the hut")],
    )?;
    attached(
        story,
        talk,
        None,
        &[
            Piece::File(File::new("IMG_0043.png", "public.png", "image/png", &one)),
            Piece::Text("before and after"),
            Piece::File(File::new("IMG_0044.png", "public.png", "image/png", &other)),
        ],
    )?;
    let heic: Vec<u8> = (0..4000u32).map(|n| (n * 7 % 251) as u8).collect();
    let photo = File::new("IMG_0045.HEIC", "public.heic", "image/heic", &heic);
    attached(story, talk, Some(ANA), &[Piece::File(photo)])?;
    for (name, state) in [
        ("IMG_0046.HEIC", State::InIcloud),
        ("IMG_0047.HEIC", State::Missing),
    ] {
        let file = File {
            state,
            ..File::new(name, "public.heic", "image/heic", &heic)
        };
        attached(story, talk, Some(ANA), &[Piece::File(file)])?;
    }
    let empty = File::new("empty.txt", "public.plain-text", "text/plain", b"");
    attached(story, talk, Some(ANA), &[Piece::File(empty)])?;
    // A name that would lead out of any folder, and run in a page.
    let evil = File {
        mime_type: None,
        ..File::new(
            "../../<b>evil</b>.html",
            "public.html",
            "",
            b"<script>alert('file')</script>",
        )
    };
    attached(story, talk, Some(ANA), &[Piece::File(evil)])?;
    let sound: Vec<u8> = b"caff\x00\x01\x00\x00"
        .iter()
        .copied()
        .cycle()
        .take(900)
        .collect();
    let audio = File::new(
        "Audio Message.caf",
        "com.apple.coreaudio-format",
        "audio/x-caf",
        &sound,
    );
    let (row, guid, truth) = story.attachment(&audio)?;
    let words = "I am late, please wait for me";
    let mut audio = place(&guid, 0);
    audio
        .attributes
        .push(("IMAudioTranscription", Attr::Text(words.to_owned())));
    let mut truth = truth;
    truth["transcription"] = words.into();
    let draft = Draft {
        attachments: vec![row],
        ..Draft::runs(Some(ANA), vec![audio])
    };
    let draft = draft
        .with("is_audio_message", Sql::Integer(1))
        .known("attachments", vec![truth]);
    story.send(Some(talk), draft)?;
    // A body that ends in the middle, and no text beside it.
    let broken = b"\x04\x0bstreamtyped\x81\xe8\x03\x84\x01@\x84\x84\x84\x12NSAttr".to_vec();
    let draft = Draft::runs(Some(ANA), Vec::new())
        .with("attributedBody", broken)
        .with("text", Sql::Null)
        .known("undecodable", true);
    story.send(Some(talk), draft)?;
    Ok(())
}

enum Piece<'f> {
    Text(&'f str),
    File(File<'f>),
}

/// Sends texts and files as one message.
fn attached(
    story: &mut Story<'_>,
    talk: &Talk,
    from: Option<&Person>,
    pieces: &[Piece<'_>],
) -> rusqlite::Result<String> {
    let (mut runs, mut rows, mut truth) = (Vec::<Run>::new(), Vec::new(), Vec::<Value>::new());
    for (part, piece) in (0..).zip(pieces) {
        match piece {
            Piece::Text(text) => runs.push(run(text, part)),
            Piece::File(file) => {
                let (row, guid, known) = story.attachment(file)?;
                runs.push(place(&guid, part));
                rows.push(row);
                truth.push(known);
            }
        }
    }
    let draft = Draft {
        attachments: rows,
        ..Draft::runs(from, runs)
    };
    story.send(Some(talk), draft.known("attachments", truth))
}

fn reactions(story: &mut Story<'_>, talk: &Talk) -> rusqlite::Result<()> {
    let target = story.send(Some(talk), Draft::text(None, "Shall we go again in May?"))?;
    let at = story.messages.len() - 1;
    let react = |story: &mut Story<'_>, from: Option<&Person>, number: i64, target: &str| {
        let draft = Draft::text(from, "Loved “Shall we go again in May?”")
            .with("associated_message_guid", target.to_owned())
            .with("associated_message_type", Sql::Integer(number))
            .with("associated_message_range_length", Sql::Integer(25));
        story.send(Some(talk), draft)?;
        // The truth about a reaction is with its message.
        story.known("is_reaction", true.into());
        Ok::<(), rusqlite::Error>(())
    };
    let part = format!("p:0/{target}");
    react(story, Some(ANA), 2000, &part)?;
    react(story, Some(ANA), 2003, &part)?;
    react(story, None, 2001, &format!("bp:{target}"))?;
    react(story, None, 3001, &format!("bp:{target}"))?;
    let mut known = vec![
        json!({ "reaction": "love", "from_me": false, "state": "replaced" }),
        json!({ "reaction": "laugh", "from_me": false, "state": "current" }),
        json!({ "reaction": "like", "from_me": true, "state": "removed" }),
    ];
    if story.plan.ios >= 18 {
        let draft = Draft::text(None, "Reacted 🦊 to “Shall we go again in May?”")
            .with("associated_message_guid", part.clone())
            .with("associated_message_type", Sql::Integer(2006))
            .with("associated_message_emoji", "🦊".to_owned())
            .known("is_reaction", true);
        story.send(Some(talk), draft)?;
        known.push(
            json!({ "reaction": "emoji", "emoji": "🦊", "from_me": true, "state": "current" }),
        );
    }
    let picture = story.picture(2);
    let sticker = File {
        is_sticker: true,
        ..File::new("sticker.png", "public.png", "image/png", &picture)
    };
    let (row, guid, _) = story.attachment(&sticker)?;
    let draft = Draft {
        attachments: vec![row],
        ..Draft::runs(Some(ANA), vec![place(&guid, 0)])
    };
    let draft = draft
        .with("associated_message_guid", part)
        .with("associated_message_type", Sql::Integer(1000))
        .known("is_reaction", true);
    story.send(Some(talk), draft)?;
    known.push(json!({ "reaction": "sticker", "from_me": false, "state": "current" }));
    story.messages[at]["reactions"] = known.into();
    // A reaction to a message that is gone.
    let gone = story.plan.uuid(41, 1);
    react(story, Some(ANA), 2000, &format!("p:0/{gone}"))?;
    story.known("is_reaction", Value::Null);
    story.known(
        "reaction_to",
        json!({ "target": { "guid": gone, "part": 0 }, "reaction": "love" }),
    );
    Ok(())
}

/// Edited and unsent messages, since iOS 16.
fn changes(story: &mut Story<'_>, talk: &Talk) -> rusqlite::Result<()> {
    if story.plan.ios < 16 {
        return Ok(());
    }
    let (first, second) = (story.clock + 7300, story.clock + 7400);
    let texts = [
        (first, "See you at sevn"),
        (second, "See you at seven"),
        (second + 60, "See you at half past seven"),
    ];
    let info = summary(dict([
        ("ec", Plist::Dictionary(dict([("0", versions(&texts))]))),
        ("ep", Plist::Array(vec![0.into()])),
        (
            "otr",
            Plist::Dictionary(dict([(
                "0",
                Plist::Dictionary(dict([("le", 15.into()), ("lo", 0.into())])),
            )])),
        ),
    ]));
    let known: Vec<Value> = texts
        .iter()
        .map(|(time, text)| json!({ "time": rfc3339(*time), "text": text }))
        .collect();
    let edited = story.date(second + 60);
    let draft = Draft::text(None, texts[2].1)
        .with("message_summary_info", info)
        .with("date_edited", edited)
        .known("edits", json!([{ "part": 0, "versions": known }]));
    story.send(Some(talk), draft)?;
    let info = summary(dict([
        ("rp", Plist::Array(vec![0.into()])),
        (
            "otr",
            Plist::Dictionary(dict([(
                "0",
                Plist::Dictionary(dict([("le", 12.into()), ("lo", 0.into())])),
            )])),
        ),
    ]));
    let unsent = story.date(story.clock + 7300);
    let draft = Draft::runs(Some(ANA), Vec::new())
        .with("message_summary_info", info)
        .with("date_edited", unsent)
        .known("unsent", true)
        .known("unsent_parts", vec![0]);
    story.send(Some(talk), draft)?;
    Ok(())
}

/// Link previews and the content of other applications.
fn balloons(story: &mut Story<'_>, talk: &Talk) -> rusqlite::Result<()> {
    let url = "https://example.org/huts?from=messages&lang=en";
    let title = "Mountain huts <open all year>";
    let metadata = Node::Object(
        "LPLinkMetadata",
        vec![
            ("originalURL", Node::Url(url.to_owned())),
            ("URL", Node::Url(url.to_owned())),
            ("title", Node::Text(title.to_owned())),
            ("summary", Node::Text("Beds, meals and paths".to_owned())),
        ],
    );
    let root = Node::Object("RichLink", vec![("richLinkMetadata", metadata)]);
    // The picture of a preview is not an attachment to show.
    let bytes = story.picture(3);
    let hidden = File::new("1.pluginPayloadAttachment", "dyn.ah62", "", &bytes);
    let (row, ..) = story.attachment(&hidden)?;
    let draft = Draft {
        attachments: vec![row],
        ..Draft::text(Some(ANA), url)
    };
    let draft = draft
        .with(
            "balloon_bundle_id",
            "com.apple.messages.URLBalloonProvider".to_owned(),
        )
        .with("payload_data", archive(&root))
        .known(
            "link",
            json!({ "url": url, "title": title, "summary": "Beds, meals and paths" }),
        );
    story.send(Some(talk), draft)?;
    let root = Node::Dictionary(vec![
        ("an", Node::Text("Chess".to_owned())),
        ("ldtext", Node::Text("Your move".to_owned())),
        ("URL", Node::Url("?game=1".to_owned())),
    ]);
    let bundle = "com.apple.messages.MSMessageExtensionBalloonPlugin:ABCDE12345:org.example.chess";
    let draft = Draft::text(None, "\u{fffd}")
        .with("balloon_bundle_id", bundle.to_owned())
        .with("payload_data", archive(&root))
        .known(
            "app",
            json!({ "bundle_id": "org.example.chess", "name": "Chess", "text": "Your move" }),
        );
    story.send(Some(talk), draft)?;
    Ok(())
}

fn events(story: &mut Story<'_>, talk: &Talk) -> rusqlite::Result<()> {
    let joerg = story.handle(JOERG, "iMessage")?;
    let event = |from, item: i64, action: i64| {
        Draft::runs(from, Vec::new())
            .with("item_type", Sql::Integer(item))
            .with("group_action_type", Sql::Integer(action))
    };
    let person = json!({ "address": JOERG.address, "country": JOERG.country });
    let added = event(Some(ANA), 1, 0)
        .with("other_handle", Sql::Integer(joerg))
        .known("event", json!({ "event": "added", "person": person }));
    story.send(Some(talk), added)?;
    let named = event(None, 2, 0)
        .with("group_title", "Hiking 🏔️".to_owned())
        .known("event", json!({ "event": "renamed", "name": "Hiking 🏔️" }));
    story.send(Some(talk), named)?;
    let photo = event(Some(NUR), 3, 1).known("event", json!({ "event": "photo_set" }));
    story.send(Some(talk), photo)?;
    let mut mention = run("@Jörg", 0);
    mention.attributes.push((
        "__kIMMentionConfirmedMention",
        Attr::Text(JOERG.address.to_owned()),
    ));
    let runs = vec![
        run("Hello ", 0),
        mention,
        run(", do you know the way? 🗺️", 0),
    ];
    let styles = json!([{ "start": 6, "length": 5, "style": "mention", "value": JOERG.address }]);
    story.send(
        Some(talk),
        Draft::runs(Some(NUR), runs).known("styles", styles),
    )?;
    story.send(Some(talk), Draft::text(Some(JOERG), "Yes, past the lake."))?;
    let removed = event(None, 1, 1)
        .with("other_handle", Sql::Integer(joerg))
        .known("event", json!({ "event": "removed", "person": person }));
    story.send(Some(talk), removed)?;
    let left = event(Some(NUR), 3, 0).known("event", json!({ "event": "left" }));
    story.send(Some(talk), left)?;
    let unknown =
        event(Some(ANA), 99, 0).known("event", json!({ "event": "unknown", "item_type": 99 }));
    story.send(Some(talk), unknown)?;
    Ok(())
}

/// Texts and names that would do harm if they were not escaped.
fn hostile(story: &mut Story<'_>) -> rusqlite::Result<()> {
    let name = "../../<script>alert('chat')</script>";
    let talk = story.talk(&[ROBERT, JUN], Some(name), &["iMessage"])?;
    for text in [
        PAGE,
        FORMULA,
        "+1234",
        "-5",
        "@SUM(A1)",
        "BEGIN:VCARD\r\nEND:VCARD",
        "\u{202e}gnp.exe\u{0}",
    ] {
        story.send(Some(&talk), Draft::text(Some(ROBERT), text))?;
    }
    let long = "word ".repeat(LONG_WORDS + story.plan.pick(&[40], 900) as usize);
    story.send(Some(&talk), Draft::text(None, &long))?;
    Ok(())
}

/// Times that are no times, and a message in no conversation.
fn times(story: &mut Story<'_>) -> rusqlite::Result<()> {
    let talk = story.talk(&[JUN], None, &["iMessage"])?;
    for (text, date, known) in [
        (
            "In the year 4001",
            Sql::Integer(63_113_904_000),
            json!("4001-01-01T00:00:00Z"),
        ),
        (
            "In the year 1601",
            Sql::Integer(-12_622_780_800),
            json!("1601-01-01T00:00:00Z"),
        ),
        ("At a word", Sql::from("soon".to_owned()), Value::Null),
        ("Never", Sql::Integer(0), Value::Null),
        // Rows from before iOS 11 keep their seconds.
        (
            "In seconds",
            Sql::Integer(500_000_000),
            json!("2016-11-05T00:53:20Z"),
        ),
    ] {
        let draft = Draft::text(Some(JUN), text)
            .with("date", date)
            .known("time", known);
        story.send(Some(&talk), draft)?;
    }
    story.send(None, Draft::text(Some(JUN), "This is in no conversation."))?;
    Ok(())
}

/// Recently deleted messages, since iOS 16.
fn deleted(story: &mut Story<'_>, talk: &Talk) -> rusqlite::Result<()> {
    if story.plan.ios < 16 {
        return Ok(());
    }
    for text in ["This was deleted.", "And this too."] {
        let when = story.clock + 90_000;
        let draft = Draft::text(Some(ANA), text)
            .known("deleted", true)
            .known("deleted_at", rfc3339(when));
        story.send(Some(talk), draft)?;
        let row = story.last_row()?;
        let Sql::Integer(date) = story.date(when) else {
            continue;
        };
        let chat = talk.rows["iMessage"];
        story
            .db
            .execute("DELETE FROM chat_message_join WHERE message_id = ?1", [row])?;
        let sql = "INSERT INTO chat_recoverable_message_join (chat_id, message_id, delete_date) VALUES (?1, ?2, ?3)";
        story.db.execute(sql, [chat, row, date])?;
    }
    Ok(())
}
