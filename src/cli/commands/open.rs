//! `idev-backup open`

use std::io;
use std::process::Stdio;

use clap::Args;
use idev_backup::base::child;
use idev_backup::web::{Options, Server};

use super::pages::{self, Settings};
use crate::cli::args::repository::CopiesArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::args::unattended::OverdueArgs;
use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::{ctrl_c, exit};

/// Show the backups in a browser, with their photos, messages, contacts and files
///
/// Starts a server on this computer, prints its address and opens it in the browser. Ctrl-C ends
/// it. Other computers cannot reach the pages. They also make, check, keep and delete backups; with
/// --read-only they only show them. An encrypted backup asks for its password on its page.
///
/// Example:  idev-backup open
///           idev-backup open --store /srv/backups --no-browser
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Open {
    /// Only print the address
    #[arg(long)]
    no_browser: bool,
    /// Show the backups only: the pages have no actions
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    overdue: OverdueArgs,
    #[command(flatten)]
    copies: CopiesArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl Open {
    /// Runs the command and returns its exit code.
    pub(crate) fn run(&self, settings: &Settings<'_>) -> u8 {
        match self.serve(settings) {
            Ok(()) => exit::DONE,
            Err(e) => output::failure(&e, None, false),
        }
    }

    fn serve(&self, settings: &Settings<'_>) -> Result<(), Failure> {
        let store = self.store.open()?;
        let acting = (!self.read_only).then(|| pages::acting(settings));
        let options = Options {
            acting: acting.transpose()?,
            ..pages::reading(&self.store, &self.overdue, &self.copies)?
        };
        let end = ctrl_c::end();
        let server = Server::start(store, options).map_err(|e| cannot("start the server", &e))?;
        output::data(&server.link());
        let mut waits = "Open this address in a browser on this computer. Ctrl-C ends it.";
        if !self.no_browser {
            let link = server.link_once();
            match link.and_then(|link| show(&link)) {
                Ok(()) => waits = "The browser shows this address. Ctrl-C ends it.",
                Err(e) => output::tell(&format!("problem: no browser could be started: {e}")),
            }
        }
        if !output::is_quiet() {
            output::tell(waits);
        }
        server.run_until(&end);
        Ok(())
    }
}

fn cannot(what: &str, e: &io::Error) -> Failure {
    Failure::Command {
        what: format!("cannot {what}: {e}"),
        hint: "look for a program that forbids servers on this computer (127.0.0.1)".to_owned(),
    }
}

/// Starts the user's browser, without waiting for it.
fn show(link: &str) -> io::Result<()> {
    let mut command = if cfg!(windows) {
        let mut command = child::command("rundll32");
        command.arg("url.dll,FileProtocolHandler");
        command
    } else if cfg!(target_os = "macos") {
        child::command("open")
    } else {
        // Without a screen, xdg-open would start a browser in this terminal.
        let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !has("DISPLAY") && !has("WAYLAND_DISPLAY") {
            return Err(io::Error::other("there is no screen"));
        }
        child::command("xdg-open")
    };
    command
        .arg(link)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().map(drop)
}
