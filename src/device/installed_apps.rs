//! The phone's applications, for Info.plist.

use std::sync::Arc;
use std::time::Duration;

use plist::{Dictionary, Value};

use super::{Error, Session};
use crate::base::cancel::CancelToken;
use crate::transport::AnyStream;
use crate::transport::plist_stream::{self, Encoding, MESSAGE_BYTES_MAX};

/// Name of the service that lists applications.
pub(crate) const INSTALLATION_PROXY: &str = "com.apple.mobile.installation_proxy";
/// Name of the service that provides their icons.
pub(crate) const SPRINGBOARD: &str = "com.apple.springboardservices";

const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Most applications accepted; phones have some hundred.
const APPS_MAX: usize = 20_000;
/// Longest icon accepted, in bytes.
const ICON_BYTES_MAX: usize = 1 << 20;

/// An application that its owner installed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct App {
    /// The bundle identifier, such as `com.example.app`.
    pub bundle_id: String,
    /// The App Store's signature, needed to install the application again after a restore.
    pub sinf: Option<Vec<u8>>,
    /// The App Store's description, a property list.
    pub metadata: Option<Vec<u8>>,
}

/// Lists all applications that the owner installed.
pub(crate) fn user_apps(
    session: &mut Session,
    token: &Arc<CancelToken>,
) -> Result<Vec<App>, Error> {
    const DOING: &str = "list the phone's applications";
    let mut stream = session.service(INSTALLATION_PROXY, token, SILENCE_MAX)?;
    let attributes = ["CFBundleIdentifier", "ApplicationSINF", "iTunesMetadata"];
    let mut options = Dictionary::new();
    options.insert("ApplicationType".into(), "User".into());
    options.insert(
        "ReturnAttributes".into(),
        Value::Array(attributes.iter().map(|a| Value::from(*a)).collect()),
    );
    let mut request = Dictionary::new();
    request.insert("Command".into(), "Browse".into());
    request.insert("ClientOptions".into(), Value::Dictionary(options));
    send(&mut stream, DOING, request)?;
    let mut apps = Vec::new();
    loop {
        let answer = receive(&mut stream, DOING)?;
        if let Some(error) = answer.get("Error").and_then(Value::as_string) {
            return Err(Error::strange(DOING, error));
        }
        let list = answer.get("CurrentList").and_then(Value::as_array);
        apps.extend(list.into_iter().flatten().filter_map(app));
        if apps.len() > APPS_MAX {
            return Err(Error::strange(
                DOING,
                "the list of applications is unreasonably long",
            ));
        }
        if answer.get("Status").and_then(Value::as_string) == Some("Complete") {
            apps.sort_by(|a: &App, b| a.bundle_id.cmp(&b.bundle_id));
            return Ok(apps);
        }
    }
}

fn app(entry: &Value) -> Option<App> {
    let entry = entry.as_dictionary()?;
    let data = |key: &str| entry.get(key).and_then(Value::as_data).map(<[u8]>::to_vec);
    Some(App {
        bundle_id: entry.get("CFBundleIdentifier")?.as_string()?.to_owned(),
        sinf: data("ApplicationSINF"),
        metadata: data("iTunesMetadata"),
    })
}

/// A connection to the service that provides icons.
pub(crate) struct Icons {
    stream: AnyStream,
}

impl Icons {
    /// Starts the service and connects to it.
    pub(crate) fn open(session: &mut Session, token: &Arc<CancelToken>) -> Result<Icons, Error> {
        let stream = session.service(SPRINGBOARD, token, SILENCE_MAX)?;
        Ok(Icons { stream })
    }

    /// Returns an application's icon as PNG, or `None` if it has none or a very large one.
    pub(crate) fn png(&mut self, bundle_id: &str) -> Result<Option<Vec<u8>>, Error> {
        const DOING: &str = "ask for an application's icon";
        let mut request = Dictionary::new();
        request.insert("command".into(), "getIconPNGData".into());
        request.insert("bundleId".into(), bundle_id.into());
        send(&mut self.stream, DOING, request)?;
        let mut answer = receive(&mut self.stream, DOING)?;
        Ok(answer.remove("pngData").and_then(|png| match png {
            Value::Data(png) if png.len() <= ICON_BYTES_MAX => Some(png),
            _ => None,
        }))
    }
}

fn send(stream: &mut AnyStream, doing: &str, request: Dictionary) -> Result<(), Error> {
    plist_stream::write(stream, &Value::Dictionary(request), Encoding::Binary)
        .map_err(|cause| Error::wire(doing, cause))
}

fn receive(stream: &mut AnyStream, doing: &str) -> Result<Dictionary, Error> {
    let answer =
        plist_stream::read(stream, MESSAGE_BYTES_MAX).map_err(|cause| Error::wire(doing, cause))?;
    Ok(answer.into_dictionary().unwrap_or_default())
}
