//! Notifications: those we post on the phone (a sync begins), and those the phone sends us (a
//! passcode sheet has appeared).

use std::sync::Arc;
use std::time::Duration;

use plist::{Dictionary, Value};

use super::{Error, Session};
use crate::base::cancel::CancelToken;
use crate::transport::AnyStream;
use crate::transport::plist_stream::{self, Encoding};

/// Name of the service.
pub const SERVICE: &str = "com.apple.mobile.notification_proxy";
/// Notification: the passcode sheet is on the phone's screen (iOS 15.7.1 and later show one at each
/// backup).
pub(crate) const PASSCODE_SHEET_UP: &str = "com.apple.LocalAuthentication.ui.presented";
/// Notification: the passcode sheet is gone, answered or not.
pub(crate) const PASSCODE_SHEET_GONE: &str = "com.apple.LocalAuthentication.ui.dismissed";
/// Notification: "Stop" was tapped on the phone.
pub(crate) const CANCEL_REQUEST: &str = "com.apple.itunes-client.syncCancelRequest";

const MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// A connection to the notification proxy.
pub(crate) struct Notifications {
    stream: AnyStream,
}

impl Notifications {
    /// Starts the service and connects to it.
    pub(crate) fn open(
        session: &mut Session,
        token: &Arc<CancelToken>,
    ) -> Result<Notifications, Error> {
        let stream = session.service(SERVICE, token, Duration::MAX)?;
        Ok(Notifications { stream })
    }

    /// Posts a notification on the phone.
    pub(crate) fn post(&mut self, name: &str) -> Result<(), Error> {
        self.send("PostNotification", name)
    }

    /// Subscribes to a notification.
    pub(crate) fn observe(&mut self, name: &str) -> Result<(), Error> {
        self.send("ObserveNotification", name)
    }

    fn send(&mut self, command: &str, name: &str) -> Result<(), Error> {
        let mut message = Dictionary::new();
        message.insert("Command".into(), command.into());
        message.insert("Name".into(), name.into());
        plist_stream::write(&mut self.stream, &Value::Dictionary(message), Encoding::Xml)
            .map_err(|cause| Error::wire("notify the phone", cause))
    }

    /// Waits for the next observed notification. Returns `None` if the phone closes the proxy.
    pub(crate) fn next_name(&mut self) -> Result<Option<String>, Error> {
        loop {
            let message = plist_stream::read(&mut self.stream, MESSAGE_BYTES_MAX)
                .map_err(|cause| Error::wire("listen to the phone", cause))?;
            let message = message.into_dictionary().unwrap_or_default();
            match message.get("Command").and_then(Value::as_string) {
                Some("RelayNotification") => {
                    if let Some(name) = message.get("Name").and_then(Value::as_string) {
                        return Ok(Some(name.to_owned()));
                    }
                }
                Some("ProxyDeath") => return Ok(None),
                _ => {}
            }
        }
    }
}
