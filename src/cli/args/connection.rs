//! Options for the connection to phones.

use std::sync::Arc;

use clap::Args;
use idev_backup::base::cancel::CancelToken;
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::trace::At;
use idev_backup::transport::Transport;
use idev_backup::transport::network::{Address, Options};
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
    /// Connect through usbmuxd, over usb or over network (Wi-Fi) only [default: usbmuxd if it
    /// answers, else usb, else network]
    #[arg(long, value_name = "WAY", env = "IDEV_BACKUP_TRANSPORT")]
    pub(crate) transport: Option<Wanted>,
    /// Also look for the phone over Wi-Fi at this address, for networks without multicast
    #[arg(long, value_name = "HOST[:PORT]", env = "IDEV_BACKUP_ADDRESS")]
    pub(crate) address: Option<Address>,
    #[command(flatten)]
    pub(crate) trace: TraceArgs,
}

impl ConnectionArgs {
    pub(crate) fn connector(&self) -> Result<Connector, Failure> {
        self.connector_with(CancelToken::new(interrupt()))
    }

    fn network(&self) -> Options {
        Options {
            addresses: self.address.iter().cloned().collect(),
            discover: true,
            ..Options::default()
        }
    }

    /// Connects with waits that `token` can cancel.
    pub(crate) fn connector_with(&self, token: Arc<CancelToken>) -> Result<Connector, Failure> {
        let pin = if self.any_certificate {
            Pin::Anyone
        } else {
            Pin::PairRecord
        };
        let mut daemon = Transport::choose(self.transport, self.network(), token.clone())?;
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
