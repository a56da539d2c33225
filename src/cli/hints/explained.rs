//! Advice for failures that `doctor explain` recognises in a code or a message.

use idev_backup::doctor::explain::Failure;
use idev_backup::mobilebackup::error_codes;
use idev_backup::transport;

use super::phone;
use super::refusals::refusal;

/// Returns the advice for a failure behind a code or a message, if there is any.
pub fn explained(failure: Failure) -> Option<String> {
    let hint = match failure {
        Failure::Verdict(code) => return refusal(&error_codes::described(code)?),
        Failure::Lockdown(code) => phone::lockdown(code)?,
        Failure::Usbmuxd(number) => {
            let doing = "carry out the request";
            return phone::transport(&transport::Error::Refused { doing, number });
        }
        Failure::FileProvider => "do nothing: the backup is good if nothing else failed",
        Failure::Silence => {
            "check the cable, keep the phone awake and try again; `idev-backup create` waits for \
            31 minutes of silence (--patience), because phones are silent while they look for \
            changes"
        }
        Failure::ConnectionLost => {
            "use another cable and another port, without a hub, keep the phone awake, and try \
            again"
        }
        Failure::TrustLost => "pair again: `idev-backup unpair`, then `idev-backup pair`",
        Failure::TlsEnded => {
            "connect the phone again; if that does not help, run `idev-backup unpair` and \
            `idev-backup pair`"
        }
        Failure::NoConnection => {
            "connect the phone again and wait until it has started; `idev-backup doctor` checks \
            the connection"
        }
        Failure::NoMessage => {
            "unlock the phone, use another cable, and try again; `idev-backup create` reports the \
            phone's own reason"
        }
        Failure::NoDevice => "run `idev-backup doctor`, which checks USB, usbmuxd and trust",
        Failure::NoUsbmuxd => {
            "start it (`sudo systemctl start usbmuxd`) or install it; if that does not help, run \
            `idev-backup doctor`"
        }
        Failure::UsbRefused => {
            "install the rule that `idev-backup udev-rule` prints, then connect the phone again"
        }
        Failure::NoCommonVersion => "use a newer program",
        Failure::NoVersionExchange => {
            "use a newer program, or `idev-backup create`; if that fails too, use another cable \
            and unlock the phone"
        }
        Failure::Ended => {
            "restart the phone and run `idev-backup create`, which reports the phone's own reason"
        }
        Failure::NotBegun => {
            "unlock it, close other programs that use it, and try again; if that does not help, \
            restart it"
        }
        Failure::BackupFailed => {
            "run `idev-backup doctor`, which checks each of them; `idev-backup create` reports \
            the phone's own reason"
        }
        Failure::RestoreFailed => {
            "check the backup with `idev-backup verify --deep`, update and restart phone and \
            computer, and try again"
        }
        Failure::TimedOut => "unlock the phone, use its cable rather than Wi-Fi, and try again",
        Failure::PhoneLocked => "unlock it with its passcode, and try again",
        Failure::EncryptionRequired => {
            "keep the backup password, or ask the phone's administrator. Settings > General > VPN \
            & Device Management shows the profile"
        }
        Failure::WrongPassword => {
            "use the password that the phone had when the backup was made; `idev-backup \
            encryption check` tries one"
        }
        Failure::Damaged => {
            "run `idev-backup verify`, which lists what is missing or damaged; `idev-backup \
            create --full` makes a new backup"
        }
        Failure::NoStatus => {
            "check that you may read the backup's folder; `idev-backup verify` lists what else is \
            missing, and `idev-backup create --full` makes a new backup"
        }
        Failure::SnapshotLeft => {
            "remove the folder Snapshot in the backup's folder, or make the backup with \
            `idev-backup create`, which begins without one"
        }
        Failure::NotABackup => {
            "name the folder that contains the folder named after the UDID; `idev-backup verify \
            FOLDER` lists what is missing"
        }
        Failure::PhoneFull => {
            "free space on the phone (Settings > General > Storage) or erase it in its settings, \
            and restore again"
        }
        Failure::ComputerFull => "free space, or use another disk with --store",
        Failure::NotWritten => {
            "free space, or name another folder with --store; on macOS give the program Full Disk \
            Access"
        }
        Failure::FileLocked => {
            "check the permissions of the backup folder, or name another with --store"
        }
    };
    Some(hint.to_owned())
}
