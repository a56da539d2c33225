//! `idev-backup serve`

use std::fs;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use idev_backup::store::disk;
use idev_backup::web::{
    CHARS_MIN, Certificate, Listen, ListenError, Options, PasswordHash, Protection, Server,
};

use super::pages::{self, Settings};
use crate::cli::args::folders;
use crate::cli::args::password;
use crate::cli::args::repository::CopiesArgs;
use crate::cli::args::store::{StoreArgs, path_parser};
use crate::cli::args::unattended::OverdueArgs;
use crate::cli::args::value_parsers::host_name;
use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::{ctrl_c, exit};

/// Show the backups in browsers of other computers, from a home server
///
/// The same pages as those of `open`, at an address of your choice. Where other computers reach it,
/// the server asks for a password, and needs TLS: a certificate, or a proxy in front of it.
///
/// Example:  idev-backup serve --set-password
///           idev-backup serve --listen 0.0.0.0:8443 --certificate fullchain.pem --key privkey.pem
///           idev-backup serve --behind-proxy 127.0.0.1 --hostname backups.example.org
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Serve {
    /// Listen on this address
    #[arg(
        long,
        value_name = "ADDR",
        env = "IDEV_BACKUP_SERVE_LISTEN",
        default_value = "127.0.0.1:8300"
    )]
    listen: SocketAddr,
    /// Speak TLS with this certificate and its chain, in PEM
    #[arg(long, value_name = "FILE", env = "IDEV_BACKUP_SERVE_CERTIFICATE", value_parser = path_parser())]
    certificate: Option<PathBuf>,
    /// The key of the certificate, in PEM
    #[arg(long, value_name = "FILE", env = "IDEV_BACKUP_SERVE_KEY", value_parser = path_parser())]
    key: Option<PathBuf>,
    /// Take requests only from a proxy at this address, which speaks TLS to the browsers; may be
    /// repeated
    #[arg(
        long,
        value_name = "ADDR",
        env = "IDEV_BACKUP_SERVE_BEHIND_PROXY",
        value_delimiter = ','
    )]
    behind_proxy: Vec<IpAddr>,
    /// A name by which browsers address the server; may be repeated
    #[arg(long, value_name = "HOST", env = "IDEV_BACKUP_SERVE_HOSTNAME", value_delimiter = ',', value_parser = host_name)]
    hostname: Vec<String>,
    /// Ask for a new password, keep its hash, and end; without a terminal, read it from standard
    /// input
    #[arg(long)]
    set_password: bool,
    /// The file with the hash of the password [default: serve-password in the program's
    /// configuration folder]
    #[arg(long, value_name = "FILE", env = "IDEV_BACKUP_SERVE_PASSWORD_HASH", value_parser = path_parser())]
    password_hash: Option<PathBuf>,
    /// Show the backups only: the pages have no actions
    #[arg(long, env = "IDEV_BACKUP_SERVE_READ_ONLY")]
    read_only: bool,
    #[command(flatten)]
    overdue: OverdueArgs,
    #[command(flatten)]
    copies: CopiesArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl Serve {
    /// Runs the command and returns its exit code.
    pub(crate) fn run(&self, settings: &Settings<'_>) -> u8 {
        let done = if self.set_password {
            self.keep_password()
        } else {
            self.serve(settings)
        };
        match done {
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
        let listen = self.listen()?;
        let asks = listen.password.is_some();
        let server = Server::listen(store, options, listen).map_err(refused)?;
        if asks {
            output::data(&server.place());
        } else {
            output::data(&server.link());
        }
        if !output::is_quiet() {
            output::tell(if !asks {
                "Open this address in a browser on this computer. Ctrl-C ends it."
            } else if self.listen.ip().is_unspecified() && self.hostname.is_empty() {
                "Open this address in a browser, on other computers with a name or address of this \
                 one in place of localhost. Ctrl-C ends it."
            } else {
                "Open this address in a browser. Ctrl-C ends it."
            });
        }
        server.run_until(&end);
        Ok(())
    }

    fn listen(&self) -> Result<Listen, Failure> {
        let proxies = self.behind_proxy.clone();
        let protection = match (&self.certificate, &self.key, proxies.is_empty()) {
            (Some(certificate), Some(key), true) => {
                let read = Certificate::read(certificate, key, not_renewed);
                Protection::Tls(read.map_err(refused)?)
            }
            (None, None, true) => Protection::Nothing,
            (None, None, false) => Protection::Proxy(proxies),
            (Some(_), None, _) => {
                return Err(contradiction(
                    "a certificate is named, and its key is not",
                    "name the key too, with --key or the setting serve.key",
                ));
            }
            (None, Some(_), _) => {
                return Err(contradiction(
                    "a key is named, and its certificate is not",
                    "name the certificate too, with --certificate or the setting \
                    serve.certificate",
                ));
            }
            (Some(_), Some(_), false) => {
                return Err(contradiction(
                    "both a certificate and a proxy are named, and only one of them speaks TLS to \
                    the browsers",
                    "leave one of them out; `idev-backup config show` names the settings",
                ));
            }
        };
        Ok(Listen {
            address: self.listen,
            names: self.hostname.clone(),
            password: kept_password(&self.password_file()?)?,
            protection,
        })
    }

    fn password_file(&self) -> Result<PathBuf, Failure> {
        match &self.password_hash {
            Some(file) => Ok(file.clone()),
            None => Ok(folders::home()?
                .1
                .join("idev-backup")
                .join("serve-password")),
        }
    }

    /// Asks for a password and keeps its hash.
    fn keep_password(&self) -> Result<(), Failure> {
        let file = self.password_file()?;
        let password = if io::stdin().is_terminal() {
            password::prompt_twice("New password of the server")?
        } else {
            password::of(Some(&PathBuf::from("-")), None)?.ok_or(Failure::Interrupted)?
        };
        let text = String::from_utf8_lossy(password.expose());
        if text.chars().count() < CHARS_MIN {
            return Err(Failure::Command {
                what: format!(
                    "the password is too short: it has fewer than {CHARS_MIN} characters"
                ),
                hint: "choose a longer one, such as four random words".to_owned(),
            });
        }
        let hash = PasswordHash::new(&password).map_err(|_| Failure::Command {
            what: "the system gives no random numbers".to_owned(),
            hint: "try again".to_owned(),
        })?;
        if let Some(folder) = file.parent() {
            disk::make_private_dirs(folder)?;
        }
        disk::write_whole(&file, format!("{hash}\n").as_bytes())?;
        output::line(&format!(
            "The hash of the password is in {}. Start the server again to use it.",
            file.display()
        ));
        Ok(())
    }
}

/// Reads the hash of the password, if one was set.
fn kept_password(file: &Path) -> Result<Option<PasswordHash>, Failure> {
    let unusable = |why: String| Failure::Command {
        what: format!("cannot use the password in {}: {why}", file.display()),
        hint: "set it again with `idev-backup serve --set-password`".to_owned(),
    };
    match fs::read_to_string(file) {
        Ok(text) => {
            let hash = text.parse::<PasswordHash>();
            hash.map(Some).map_err(|e| unusable(e.to_string()))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unusable(e.to_string())),
    }
}

/// Reports a renewed certificate that cannot be used.
fn not_renewed(error: &ListenError) {
    output::tell(&format!(
        "problem: {error}; the server keeps the last certificate"
    ));
}

fn contradiction(what: &str, hint: &str) -> Failure {
    Failure::Command {
        what: what.to_owned(),
        hint: hint.to_owned(),
    }
}

fn refused(error: ListenError) -> Failure {
    let hint = match &error {
        ListenError::NoPassword(_) => "set a password with `idev-backup serve --set-password`",
        ListenError::NotEncrypted(_) => {
            "add --certificate and --key, or put a proxy in front of it and add --behind-proxy"
        }
        ListenError::NoName => "add --hostname with the name that browsers use",
        ListenError::Certificate { .. } => {
            "name a certificate and its key in PEM, such as fullchain.pem and privkey.pem"
        }
        _ => "choose another address or port with --listen",
    };
    Failure::Command {
        what: error.to_string(),
        hint: hint.to_owned(),
    }
}
