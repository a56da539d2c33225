//! Options for the connection to phones.

use std::sync::Arc;

use clap::Args;
use idev_backup::base::cancel::CancelToken;
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::trace::At;
use idev_backup::transport::Transport;
use idev_backup::transport::select::Wanted;

use crate::cli::args::folders::home;
use crate::cli::args::trace::TraceArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::failure::Failure;

/// Options for the connection to phones.
#[derive(Args, Clone)]
pub(crate) struct ConnectionArgs {
    /// Accept a phone whose key differs from the one it was paired with
    #[arg(long)]
    any_certificate: bool,
    /// Connect through usbmuxd or directly over usb [default: usbmuxd if it answers, else usb]
    #[arg(long, value_name = "WAY", env = "IDEV_BACKUP_TRANSPORT")]
    pub(crate) transport: Option<Wanted>,
    #[command(flatten)]
    pub(crate) trace: TraceArgs,
}

impl ConnectionArgs {
    pub(crate) fn connector(&self) -> Result<Connector, Failure> {
        self.connector_with(CancelToken::new(interrupt()))
    }

    /// Connects with waits that `token` can cancel.
    pub(crate) fn connector_with(&self, token: Arc<CancelToken>) -> Result<Connector, Failure> {
        let pin = if self.any_certificate {
            Pin::Anyone
        } else {
            Pin::PairRecord
        };
        let mut daemon = Transport::choose(self.transport, token.clone())?;
        if let Some(recorder) = self.trace.begin(At::Computer)? {
            daemon = daemon.recorded(recorder);
        }
        Ok(Connector::new(
            daemon,
            home()?.1.join("idev-backup").join("pairing"),
            pin,
            token,
        ))
    }
}
