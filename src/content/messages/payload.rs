//! The payload of a message that shows a link or the content of another application.

use crate::content::keyed_archive::KeyedArchive;
use crate::content::messages::record::{AppMessage, LinkPreview};

/// The provider of link previews.
const LINKS: &str = "com.apple.messages.URLBalloonProvider";
/// The provider of extensions; the team and the bundle id of the extension follow.
const EXTENSIONS: &str = "com.apple.messages.MSMessageExtensionBalloonPlugin:";

/// Contents of a payload, as Messages shows them.
#[derive(Debug, PartialEq)]
pub(super) enum Payload {
    Link(LinkPreview),
    App(AppMessage),
}

/// Decodes a payload. One that cannot be read shows only its application.
pub(super) fn decode(balloon: &str, bytes: Option<&[u8]>) -> Payload {
    let archive = bytes.and_then(|bytes| KeyedArchive::parse(bytes).ok());
    if balloon == LINKS {
        return Payload::Link(archive.as_ref().and_then(link).unwrap_or_default());
    }
    let bundle_id = match balloon.strip_prefix(EXTENSIONS) {
        Some(rest) => rest.split_once(':').map_or(rest, |(_team, bundle)| bundle),
        None => balloon,
    };
    let text = |key| {
        let archive = archive.as_ref()?;
        archive.text(archive.root()?, key)
    };
    Payload::App(AppMessage {
        bundle_id: bundle_id.to_owned(),
        name: text("an"),
        text: text("ldtext"),
    })
}

fn link(archive: &KeyedArchive) -> Option<LinkPreview> {
    let root = archive.root()?;
    // Older systems name it `metadata`.
    let metadata = archive
        .get(root, "richLinkMetadata")
        .or_else(|| archive.get(root, "metadata"))
        .unwrap_or(root);
    Some(LinkPreview {
        url: archive
            .text(metadata, "originalURL")
            .or_else(|| archive.text(metadata, "URL")),
        title: archive.text(metadata, "title"),
        summary: archive.text(metadata, "summary"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_payload_names_its_application() {
        let extension = format!("{EXTENSIONS}EWFNLB79LQ:com.gamerdelights.gamepigeon.ext");
        let Payload::App(app) = decode(&extension, Some(b"broken")) else {
            panic!("not an application");
        };
        assert_eq!(app.bundle_id, "com.gamerdelights.gamepigeon.ext");
        assert_eq!((app.name, app.text), (None, None));
        let none = LinkPreview::default();
        assert_eq!(decode(LINKS, None), Payload::Link(none));
    }
}
