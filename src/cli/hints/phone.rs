//! Advice for failures to reach a phone or to talk to it.

use std::path::Path;

use idev_backup::device;
use idev_backup::device::listing::Device;
use idev_backup::mobilebackup;
use idev_backup::transport::plist_stream::FrameError;
use idev_backup::transport::{self, Dropped, Trouble, udev_rule};

use super::NEWER;

const CONNECT_AGAIN: &str = "check the cable, unlock the phone, and try again";
const IN_REACH: &str = "connect the phone to power, unlock it and check that it is in the same \
    Wi-Fi as this computer, or use a cable; `idev-backup doctor` shows what is seen";
const UNLOCK_OR_RESTART: &str =
    "unlock the phone; if that does not help, unplug it, restart it and plug it in again";
const TAP_AGAIN: &str = "run `idev-backup pair` again and tap Trust";

/// A condition for erasing a phone, resetting its settings and switching Find My off, since iOS
/// 17.3. Sources: support.apple.com/120340; td.usnh.edu, "Security Delays with Stolen Device
/// Protection", for the list of actions.
pub const PROTECTED: &str = "with Stolen Device Protection this takes Face ID or Touch ID, and \
    away from home and work an hour";

/// Returns the advice for a failed communication with a phone, if there is any.
pub fn device(error: &device::Error) -> Option<String> {
    use device::Error;
    let hint = match error {
        Error::NoDevice { .. } => {
            "connect it with a cable, unlock it, allow the accessory and tap Trust if it asks; \
            `idev-backup devices` lists connected phones"
        }
        Error::WhichDevice { .. } => "choose one with --device and its UDID or name",
        Error::Transport(e) => return transport(e),
        Error::Lockdown { code, .. } => lockdown(code)?,
        Error::NotPaired => "run `idev-backup pair` and tap Trust on the phone",
        Error::BadRecord { .. } => "pair again: `idev-backup unpair`, then `idev-backup pair`",
        Error::Tls { .. } => {
            "pair again, because the phone has probably forgotten this computer: `idev-backup \
            unpair`, then `idev-backup pair`"
        }
        Error::OtherKey => {
            "if the phone was erased or restored, pair again: `idev-backup unpair`, then \
            `idev-backup pair`. If you are sure that it is your phone, `--any-certificate` skips \
            this check"
        }
        Error::NoneKnown => {
            "connect the phone with its cable and run `idev-backup wifi on`, which keeps its record"
        }
        Error::NeedsCable { .. } => {
            "connect the phone with its cable and run the same command again"
        }
        Error::OtherPhone { .. } => {
            "connect the phone by cable and pair again: `idev-backup unpair`, then `idev-backup \
            pair`"
        }
        Error::NoEncryption => {
            "check what is connected: it is not an iPhone or iPad, or another device intercepts \
            the connection. For a simulator, `--any-certificate` skips this check"
        }
        Error::TrustDenied => TAP_AGAIN,
        Error::TrustTimeout { .. } => {
            "unlock the phone, keep it awake and run `idev-backup pair` again"
        }
        Error::SyncLocked => {
            "close Finder, iTunes, Apple Devices and other programs that sync this phone"
        }
        Error::Wire {
            cause: FrameError::Io(cause),
            ..
        } if Dropped::of(cause).is_some() => IN_REACH,
        Error::Wire { .. } => CONNECT_AGAIN,
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the advice for a phone in the list of phones, if there is any.
pub fn listed(phone: &Device) -> Option<String> {
    match phone.error.as_deref()? {
        device::Error::NotPaired => Some(PAIRS_FIRST.to_owned()),
        e => device(e),
    }
}

/// The advice for a phone that is not paired: a backup asks for trust itself.
pub const PAIRS_FIRST: &str = "run `idev-backup create`, which pairs first, and tap Trust on the \
    phone";

/// Returns the advice for an error code of lockdown, if there is any.
pub fn lockdown(code: &str) -> Option<&'static str> {
    Some(match code {
        "PasswordProtected" | "DeviceLocked" | "EscrowLocked" => {
            "unlock the phone with its passcode and try again"
        }
        "UserDeniedPairing" => TAP_AGAIN,
        "PairingDialogResponsePending" => "unlock the phone, tap Trust and enter the passcode",
        "InvalidHostID" | "MissingHostID" => {
            "pair again: `idev-backup pair`, then tap Trust on the phone"
        }
        "MCChallengeRequired" | "MCProtected" => {
            "ask the phone's administrator to allow pairing (Apple Configurator: \"supervision \
            identity\")"
        }
        "PairingProhibitedOverThisConnection" => {
            "connect the phone by cable once and run `idev-backup pair`"
        }
        "ServiceLimit" => "close other programs that use the phone, or restart it",
        "InvalidService" => "restart the phone and try again",
        "InvalidConnection" | "SessionInactive" => CONNECT_AGAIN,
        "SavePairRecordFailed" => "restart the phone and run `idev-backup pair` again",
        _ => return None,
    })
}

/// Returns the advice for a failure to reach a phone, if there is any.
pub fn transport(error: &transport::Error) -> Option<String> {
    use transport::Error;
    let hint = match error {
        Error::NoDaemon {
            is_from_environment: true,
            ..
        } => {
            "USBMUXD_SOCKET_ADDRESS names this address: start a daemon there, or unset the \
            variable to use the system's daemon"
        }
        Error::NoDaemon { .. } => {
            return Some(start_usbmuxd(&|program| Path::new(program).exists()));
        }
        Error::Refused { number: 2, .. } => {
            "plug the phone in again and run the same command again"
        }
        Error::Refused { number: 3, .. } => UNLOCK_OR_RESTART,
        Error::Strange { .. } => {
            "check that USBMUXD_SOCKET_ADDRESS is the address of a usbmuxd-compatible daemon"
        }
        Error::Network { .. } => IN_REACH,
        Error::Usb { trouble, .. } => return usb(trouble),
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the step that makes usbmuxd answer on this system. `has` tells if a file exists.
fn start_usbmuxd(has: &dyn Fn(&str) -> bool) -> String {
    if cfg!(windows) {
        return "install \"Apple Devices\" from Microsoft's store and open it once".to_owned();
    }
    if cfg!(target_os = "macos") {
        return "restart the Mac: its own daemon should answer".to_owned();
    }
    let is_installed = [
        "/usr/sbin/usbmuxd",
        "/usr/bin/usbmuxd",
        "/usr/local/sbin/usbmuxd",
    ];
    if is_installed.iter().any(|program| has(program)) {
        // udev starts it too when a phone is plugged in, but not in every container.
        return if has("/run/systemd/system") {
            "run `sudo systemctl start usbmuxd`, and plug the phone in again"
        } else {
            "run `sudo usbmuxd`, and plug the phone in again"
        }
        .to_owned();
    }
    let installers = [
        ("/usr/bin/apt-get", "apt install"),
        ("/usr/bin/dnf", "dnf install"),
        ("/usr/bin/zypper", "zypper install"),
        ("/usr/bin/pacman", "pacman -S"),
        ("/sbin/apk", "apk add"),
    ];
    match installers.iter().find(|(program, _)| has(program)) {
        Some((_, install)) => {
            format!("install usbmuxd with `sudo {install} usbmuxd`, and plug the phone in again")
        }
        None => "install the package usbmuxd, and plug the phone in again".to_owned(),
    }
}

fn usb(trouble: &Trouble) -> Option<String> {
    let hint = match trouble {
        Trouble::NoRights { .. } => return Some(install_udev_rule()),
        Trouble::Busy { .. } => {
            "omit `--transport` if usbmuxd is running; else close the program that uses the phone \
            (for example a photo importer or a file manager)"
        }
        Trouble::NoBus => {
            "pass USB through to the container or virtual machine (`--device /dev/bus/usb`), or \
            run usbmuxd on the computer with the phone and set USBMUXD_SOCKET_ADDRESS"
        }
        Trouble::Unplugged => {
            "check the cable, plug the phone in again and run the same command again"
        }
        Trouble::NoInterface => "unlock the phone, unplug it, restart it and plug it in again",
        Trouble::Driver => {
            "install \"Apple Devices\" from Microsoft and omit `--transport`, so that its service \
            is used, because Apple's driver holds the phone; libusb needs the WinUSB driver for \
            the phone instead (Zadig installs it, but then iTunes does not see the phone)"
        }
        Trouble::Silent | Trouble::Broken(_) => {
            "unlock the phone, unplug it and plug it in again; if that does not help, restart it"
        }
        Trouble::Refused { .. } => UNLOCK_OR_RESTART,
        Trouble::NotBuilt if cfg!(target_os = "macos") => {
            "omit `--transport`: on this system, phones are used through its own daemon"
        }
        Trouble::NotBuilt => "omit `--transport` and run usbmuxd, or build with the feature `usb`",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the advice for a user who lacks permission to open the phone.
pub fn install_udev_rule() -> String {
    format!(
        "install a udev rule with `idev-backup udev-rule | sudo tee {} && sudo udevadm control \
        --reload`, then plug the phone in again. The rule is: {}",
        udev_rule::FILE,
        udev_rule::RULE
    )
}

/// Returns the advice for a failed dialog with the phone, if there is any.
pub fn dialog(error: &mobilebackup::Error) -> Option<&'static str> {
    use mobilebackup::Error;
    Some(match error {
        Error::Wire {
            cause: FrameError::Io(cause),
            ..
        } if Dropped::of(cause).is_some() => {
            "bring the phone back into the Wi-Fi and connect it to power, or use a cable; \
            `idev-backup create` continues with what was received, and the phone asks for its \
            passcode again"
        }
        Error::Wire {
            cause: FrameError::Io(_),
            ..
        }
        | Error::HungUp { .. } => {
            "check the cable, keep the phone awake and run `idev-backup create` again"
        }
        Error::Hostile(_) => {
            "do not trust this phone, or the device between it and this computer. Nothing outside \
            the draft was changed"
        }
        Error::Strange { .. } | Error::Wire { .. } => {
            "unplug the phone, restart it and try again; if it happens again, please report it"
        }
        Error::NoCommonVersion => NEWER,
        Error::Cancelled => "run `idev-backup create` again at any time",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use idev_backup::device::lockdown_codes;

    use super::*;

    #[test]
    fn every_lockdown_code_has_advice() {
        for word in &lockdown_codes::WORDS {
            assert!(lockdown(word.code).is_some(), "{}", word.code);
        }
    }

    #[test]
    fn udev_hint_has_rule_and_file() {
        let hint = install_udev_rule();
        assert!(hint.contains(udev_rule::RULE) && hint.contains(udev_rule::FILE));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn usbmuxd_step_fits_the_system() {
        for (files, words) in [
            (&["/usr/bin/apt-get"][..], "`sudo apt install usbmuxd`"),
            (&["/usr/bin/pacman"], "`sudo pacman -S usbmuxd`"),
            (&[], "install the package usbmuxd"),
            (&["/usr/bin/apt-get", "/usr/sbin/usbmuxd"], "`sudo usbmuxd`"),
            (
                &["/usr/sbin/usbmuxd", "/run/systemd/system"],
                "`sudo systemctl start usbmuxd`",
            ),
        ] {
            let step = start_usbmuxd(&|file| files.contains(&file));
            assert!(step.contains(words), "{files:?}: {step}");
        }
    }
}
