//! `idev-backup demo`

use std::path::PathBuf;

use clap::Args;
use idev_backup::automation::policy::Plan;
use idev_backup::backup::create::Options;
use idev_backup::base::cancel::CancelToken;
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::simulator::{Daemon, Phone, PhoneConfig};
use idev_backup::store::{self, Store};
use idev_backup::transport::Usbmuxd;
use idev_backup::transport::usbmuxd::Address;
use idev_backup::verify;

use super::back_up::back_up;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::store::path_parser;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::Show;
use crate::cli::render::verify::tell;

/// Back up a simulated iPhone twice and verify the result, to try the program without a phone
///
/// Example:  idev-backup demo
#[derive(Args)]
pub struct Demo {
    /// The store, which is kept [default: a temporary folder, which is removed at the end]
    #[arg(long, value_name = "DIR", value_parser = path_parser())]
    store: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Demo {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let temporary =
            std::env::temp_dir().join(format!("idev-backup-demo-{}", std::process::id()));
        let path = self.store.clone().unwrap_or_else(|| temporary.clone());
        let code = self
            .rehearse(path)
            .unwrap_or_else(|e| output::failure(&e, None, self.output.json));
        if self.store.is_none()
            && let Err(e) = std::fs::remove_dir_all(&temporary)
        {
            output::tell(&format!(
                "problem: cannot remove {}: {e}",
                temporary.display()
            ));
        }
        code
    }

    fn rehearse(&self, path: PathBuf) -> Result<u8, Failure> {
        let style = self.output.style();
        let say = |text: &str| {
            if style == Style::People {
                output::lines(text);
            }
        };
        let failed = |e: std::io::Error| {
            Failure::Store(store::Error::io("start a simulated phone for", &path, e))
        };
        let phone = Phone::new(PhoneConfig::default());
        let daemon = Daemon::start("127.0.0.1:0", vec![phone]).map_err(failed)?;
        let store = Store::create(&path)?;
        let token = CancelToken::new(interrupt());
        let usbmuxd = Usbmuxd::new(Address::parse(daemon.address()), token.clone());
        let connector = Connector::new(
            usbmuxd,
            path.join(".idev-backup").join("pairing"),
            Pin::PairRecord,
            token,
        );
        let phones = vec![connector.phone(None)?];

        say("A simulated iPhone is plugged in. The first backup:\n");
        let first = back_up(
            &connector,
            &store,
            &phones,
            &Options::default(),
            &Plan::default(),
            style,
        );
        if first != exit::DONE {
            return Ok(first);
        }
        say("\nSome files changed on it. The second backup:\n");
        let second = back_up(
            &connector,
            &store,
            &phones,
            &Options::default(),
            &Plan::default(),
            style,
        );
        if second != exit::DONE {
            return Ok(second);
        }
        say("\nAnd every byte of it verified:\n");
        let show = Show::new(style);
        let watch = show.watch(None, None);
        let options = verify::Options::bytes();
        let report = verify::verify(&store.current_path(&phones[0].udid), &options, &watch)?;
        watch.finish();
        let code = tell(&report, style);
        if self.store.is_none() {
            say(
                "\nThe demo has removed its store. To keep it, run `idev-backup demo --store DIR`.",
            );
        }
        say(
            "\nWith a real phone: connect it, unlock it, and run `idev-backup create`. In \
            a terminal it creates the store if none exists; a script asks for that with \
            `--new-store`.",
        );
        Ok(code)
    }
}
