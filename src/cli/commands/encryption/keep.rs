//! `idev-backup encryption remember` and `forget`: passwords in the system's credential store.

use clap::Args;

use crate::cli::args::keyring;
use crate::cli::args::password::PasswordArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Options of `encryption remember`.
#[derive(Args)]
pub struct Remember {
    /// A name for the password, if you save several
    #[arg(default_value = keyring::NAME)]
    name: String,
    #[command(flatten)]
    password: PasswordArgs,
}

impl Remember {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        ended(self.done())
    }

    fn done(&self) -> Result<(), Failure> {
        let password = self.password.chosen("Backup password")?;
        keyring::remember(&self.name, &password)?;
        output::line(&format!(
            "The password is saved in the system's credential store as {:?}.",
            self.name
        ));
        let flag = match self.name.as_str() {
            keyring::NAME => "--password-keyring".to_owned(),
            name => format!("--password-keyring={name}"),
        };
        output::line(&format!(
            "  Run `idev-backup encryption check latest {flag}` to confirm that it is the right \
            one."
        ));
        Ok(())
    }
}

/// Options of `encryption forget`.
#[derive(Args)]
pub struct Forget {
    /// The name of the password
    #[arg(default_value = keyring::NAME)]
    name: String,
}

impl Forget {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        ended(self.done())
    }

    fn done(&self) -> Result<(), Failure> {
        output::line(&if keyring::forget(&self.name)? {
            format!(
                "The password {:?} was removed from the credential store.",
                self.name
            )
        } else {
            format!("The credential store has no password {:?}.", self.name)
        });
        Ok(())
    }
}

fn ended(done: Result<(), Failure>) -> u8 {
    match done {
        Ok(()) => exit::DONE,
        Err(e) => output::failure(&e, None, false),
    }
}
