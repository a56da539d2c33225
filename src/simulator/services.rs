//! Access to the services behind lockdown, and the small services without a file of their own.

use std::io;
use std::sync::Arc;

use plist::{Dictionary, Value};
use rustls::ServerConfig;

use super::phone::Phone;
use super::socket::Socket;
use super::tls::Link;
use super::wifi::Heart;
use super::{afc, apps, assertions, backup, heartbeat, notify};
use crate::transport::plist_stream::{self, Encoding, FrameError};

const MESSAGE_BYTES_MAX: u32 = 1 << 20;

type Serve = fn(&Arc<Phone>, Link) -> io::Result<()>;

const SERVICES: [(&str, Serve); 9] = [
    ("com.apple.afc", |phone, link| afc::serve(phone, link)),
    ("com.apple.mobile.notification_proxy", |phone, link| {
        notify::serve(phone, link)
    }),
    (
        "com.apple.mobile.insecure_notification_proxy",
        |phone, link| notify::serve(phone, link),
    ),
    ("com.apple.mobilebackup2", backup::serve),
    ("com.apple.mobile.installation_proxy", |_, link| {
        dialog(link, installation_proxy)
    }),
    ("com.apple.springboardservices", |_, link| {
        dialog(link, springboard)
    }),
    ("com.apple.mobile.assertion_agent", assertions::serve),
    ("com.apple.mobile.diagnostics_relay", |_, link| {
        dialog(link, diagnostics)
    }),
    (heartbeat::NAME, |_, link| heartbeat::serve(link, None)),
];

/// Returns true if the phone has a service of this name.
pub(super) fn known(name: &str) -> bool {
    SERVICES.iter().any(|(known, _)| *known == name)
}

/// Serves one connection to a service until it ends. `heart` is present for a heartbeat over Wi-Fi.
pub(super) fn serve(
    phone: &Arc<Phone>,
    name: &str,
    tls: &Arc<ServerConfig>,
    socket: Socket,
    heart: Option<&Heart>,
) {
    let serve = SERVICES.iter().find(|(known, _)| *known == name);
    let link = if phone.config.plain {
        Ok(Link::Plain(socket))
    } else {
        Link::secure(socket, tls)
    };
    let served = link.and_then(|link| match (phone.replay(), serve) {
        (Some(replay), _) if replay.has(name) => {
            // The recorded computer has proved that it is there.
            if let Some(heart) = heart {
                heart.beat();
            }
            replay.serve(name, link)
        }
        _ if heart.is_some() => heartbeat::serve(link, heart),
        (_, Some((_, serve))) => serve(phone, link),
        (_, None) => Ok(()),
    });
    // Ignore how the client disconnected; the phone's history contains the result of a backup.
    match served {
        Ok(()) | Err(_) => {}
    }
}

/// Answers each property list with property lists.
pub(super) fn dialog(
    mut link: Link,
    mut answer: impl FnMut(&Dictionary) -> Vec<Dictionary>,
) -> io::Result<()> {
    loop {
        let request = match plist_stream::read(&mut link, MESSAGE_BYTES_MAX) {
            Ok(Value::Dictionary(request)) => request,
            Ok(_) => break,
            Err(FrameError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(e) => return Err(super::frame_error(e)),
        };
        for reply in answer(&request) {
            plist_stream::write(&mut link, &Value::Dictionary(reply), Encoding::Xml)
                .map_err(super::frame_error)?;
        }
    }
    link.close();
    Ok(())
}

fn installation_proxy(request: &Dictionary) -> Vec<Dictionary> {
    let options = request.get("ClientOptions").and_then(Value::as_dictionary);
    let option = |key: &str| options.and_then(|o| o.get(key));
    let texts = |key: &str| -> Option<Vec<&str>> {
        let list = option(key)?.as_array()?;
        Some(list.iter().filter_map(Value::as_string).collect())
    };
    let wanted = texts("ReturnAttributes");
    let ids = texts("BundleIDs");
    let kind = option("ApplicationType").and_then(Value::as_string);
    let mut found = apps::all();
    if kind.is_some_and(|kind| kind == "System") {
        found.clear();
    }
    let id_of = |app: &Dictionary| {
        let id = app.get("CFBundleIdentifier").and_then(Value::as_string);
        id.unwrap_or_default().to_owned()
    };
    found.retain(|app| {
        ids.as_ref()
            .is_none_or(|ids| ids.contains(&id_of(app).as_str()))
    });
    let names: Vec<String> = found.iter().map(id_of).collect();
    if let Some(wanted) = wanted {
        for app in &mut found {
            app.retain(|key, _| wanted.contains(&key.as_str()));
        }
    }
    let complete = super::dict([("Status", "Complete".into())]);
    match request.get("Command").and_then(Value::as_string) {
        Some("Browse") => {
            let count = found.len() as u64;
            let list = found.into_iter().map(Value::Dictionary).collect();
            let page = super::dict([
                ("Status", "BrowsingApplications".into()),
                ("CurrentIndex", 0u64.into()),
                ("CurrentAmount", count.into()),
                ("Total", count.into()),
                ("CurrentList", Value::Array(list)),
            ]);
            vec![page, complete]
        }
        Some("Lookup") => {
            let by_id = names
                .into_iter()
                .zip(found.into_iter().map(Value::Dictionary));
            let mut reply = complete;
            reply.insert("LookupResult".into(), Value::Dictionary(by_id.collect()));
            vec![reply]
        }
        _ => vec![super::dict([("Error", "UnknownCommand".into())])],
    }
}

/// PNG image of one transparent pixel.
const ICON: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06, 0x00, 0x00, 0x00, 0x1f, 0x15, 0xc4,
    0x89, 0x00, 0x00, 0x00, 0x0b, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x60, 0x00, 0x02, 0x00,
    0x00, 0x05, 0x00, 0x01, 0xe9, 0xfa, 0xdc, 0xd8, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44,
    0xae, 0x42, 0x60, 0x82,
];

fn springboard(request: &Dictionary) -> Vec<Dictionary> {
    let reply = match request.get("command").and_then(Value::as_string) {
        Some("getIconPNGData") => super::dict([("pngData", Value::Data(ICON.to_vec()))]),
        Some("getInterfaceOrientation") => super::dict([("interfaceOrientation", 1u64.into())]),
        _ => super::dict([("Error", "UnknownCommand".into())]),
    };
    vec![reply]
}

fn diagnostics(request: &Dictionary) -> Vec<Dictionary> {
    let known = request.get("Request").and_then(Value::as_string) == Some("Goodbye");
    let status = if known { "Success" } else { "UnknownRequest" };
    vec![super::dict([("Status", status.into())])]
}
