//! Advice for the concerns of `doctor` and of a restore's preflight.

use idev_backup::base::units::size;
use idev_backup::doctor::{Concern, Trouble};
use idev_backup::restore;

use super::device;
use super::phone::{self, PROTECTED, install_udev_rule};
use super::schedule::{job, scheduler};
use super::store::store;

const BACK_UP: &str = "run `idev-backup create`";

/// Returns the advice for a concern of `doctor`, if there is any.
pub fn concern(concern: &Concern) -> Option<String> {
    let hint = match concern {
        Concern::Trouble(e) => return trouble(e),
        Concern::NotInIos => {
            "restart the phone; if it stays in this mode, update it with Finder or Apple Devices, \
            which keeps its data"
        }
        Concern::NodeRefused => return Some(install_udev_rule()),
        Concern::NoNode => {
            "pass /dev/bus/usb through, or run this on the computer that the phone is connected to"
        }
        Concern::NodeOfUsbmuxd => {
            "plug it in again; if that does not help, run `sudo systemctl restart usbmuxd` and \
            check that its udev rules are installed"
        }
        Concern::NotDetected => {
            "unlock it, plug it in again and allow the accessory if it asks; if that does not \
            help, run `sudo systemctl restart usbmuxd`"
        }
        Concern::NoInterface => {
            "unlock it, unplug it, plug it in again and allow the accessory if it asks"
        }
        Concern::SlowUsb => "use another cable, and plug it into the computer rather than a hub",
        Concern::OtherProgram => "wait for it to end, or stop it",

        Concern::PhoneSilent => "unlock it and plug it in again; if that does not help, restart it",
        Concern::NoMulticast => {
            "allow UDP port 5353 in the firewall, run a container with the host's network, or give \
            the phone's address with --address"
        }
        Concern::PortHeld => {
            "stop that program (on Linux, `sudo ss -ulpn sport = 5353` names it), or give the \
            phone's address with --address"
        }
        Concern::NoNetwork => "connect this computer to the network that the phone is in",
        Concern::TrustEnds => {
            "connect the phone to power in this Wi-Fi, or with its cable, and run `idev-backup create`"
        }
        Concern::OverWifi => "connect it to power, or use its cable",
        Concern::NotPaired => phone::PAIRS_FIRST,
        Concern::NoEscrowBag => "pair again: `idev-backup unpair`, then `idev-backup pair`",
        Concern::Locked => "unlock it, and keep it unlocked until the backup has begun",
        Concern::EncryptionRequired => "run `idev-backup encryption on`, which sets one",
        Concern::NotEncrypted => "`idev-backup encryption on`",
        Concern::BatteryLow => "connect it to a port or a charger that supplies power",
        Concern::PhoneFull => "free some space on the phone (Settings > General > Storage)",
        Concern::ClocksDiffer => "set the clock that is wrong",
        Concern::NotSetUp => "finish its setup (the \"Hello\" screen)",
        Concern::Syncing => {
            "close Finder, iTunes, Apple Devices and other programs that sync this phone; if it \
            is an idev-backup run with another store, wait for it to end"
        }
        Concern::SyncUnknown(e) => {
            return trouble(e).or_else(|| Some("restart the phone".to_owned()));
        }
        Concern::IosUnknown => "unlock the phone and run this again",
        Concern::IosEndsEarly => {
            "update iOS, or remove that file: idevicesyslog shows its name (\"No operation found \
            for path\")"
        }
        Concern::IosUnconfirmed => "update iOS",

        Concern::StoreSilent => "check its connection, or choose another store with --store",
        Concern::NoStoreYet => "`idev-backup create` makes one if it is run in a terminal",
        Concern::NoSharing => {
            "use a disk with APFS, ext4, btrfs, xfs or NTFS, or `create --keep-last 0`"
        }
        Concern::NoLargeFiles => "use a disk with exFAT, APFS, NTFS or ext4",
        Concern::DraftLeft | Concern::NoBackup | Concern::Overdue => BACK_UP,
        Concern::BackupRefused => {
            "run `sudo chown -R \"$(id -u)\"` with that folder, which makes you its owner"
        }
        Concern::NotFinished => {
            "run `idev-backup create`, which continues it; `create --full` makes a new one, and \
            `idev-backup list` shows older ones"
        }
        Concern::Damaged => {
            "run `idev-backup verify --repair`, which copies undamaged files from older backups; \
            the next `create` asks the phone again for all files whose contents have changed \
            since they were received"
        }
        Concern::NoDate => "run `idev-backup verify` to check that it is complete",
        Concern::FutureDate => "set the clock",
        Concern::NotVerified => "run `idev-backup verify`",
        Concern::StoreFull { missing_bytes } => {
            return Some(format!(
                "free {}, or use another disk with --store; `create --keep-last` sets how many older \
                backups stay",
                size(*missing_bytes)
            ));
        }

        Concern::NoRepository => {
            "`idev-backup repository init --repository PLACE` makes an encrypted repository on \
            another disk, a NAS or a storage on the network"
        }
        Concern::NotPushed | Concern::PushFailed => "run `idev-backup repository push`",
        Concern::CopiesCanBeWiped => {
            "keep a copy where this computer can only add data: the guide, \"Off-site copies\", \
            shows how under \"Ransomware\""
        }
        Concern::CopiesMayBeWiped => {
            "the guide, \"Off-site copies\", shows under \"Ransomware\" how to set it up"
        }

        Concern::NoJobs => "`idev-backup schedule add --daily 22:00` makes one",
        Concern::JobFailed { name } => {
            return Some(format!("`idev-backup schedule log {name}` shows why"));
        }
        Concern::JobNotInstalled { name } => {
            return Some(format!(
                "add it again with `idev-backup schedule add`, or remove it with `idev-backup \
                schedule remove {name}`"
            ));
        }
        Concern::JobKilled { name } => return Some(run_now(name)),
        Concern::JobMissed { name } => {
            return Some(format!(
                "was the computer off, or asleep? {}",
                run_now(name)
            ));
        }
        Concern::JobHangs => {
            "look at the phone: it may wait for its passcode. Else end that idev-backup; its \
            draft is gone on with"
        }
        Concern::JobNewer => "use that one",
        Concern::JobUnrecorded => "its next run writes that file again",
        Concern::Job(e) => return job(e).map(str::to_owned),
        Concern::Scheduler(e) => scheduler(e),
    };
    Some(hint.to_owned())
}

fn run_now(job: &str) -> String {
    format!("`idev-backup schedule run {job}` runs it now")
}

fn trouble(trouble: &Trouble) -> Option<String> {
    match trouble {
        Trouble::Device(e) => device(e),
        Trouble::Store(e) => store(e).map(str::to_owned),
        Trouble::List { cause, by_daemon } => device(cause).or_else(|| {
            let restart = if *by_daemon {
                "restart usbmuxd, or the computer"
            } else {
                "restart the computer"
            };
            Some(restart.to_owned())
        }),
        Trouble::NoAnswer { address: Some(_) } => {
            Some("restart it: `sudo systemctl restart usbmuxd`, or the computer".to_owned())
        }
        Trouble::NoAnswer { address: None } => Some("restart the computer".to_owned()),
    }
}

/// Returns the advice for a concern before a restore, if there is any.
pub fn before_restore(concern: &restore::Concern) -> Option<String> {
    use restore::Concern;
    let hint = match concern {
        Concern::Failed(e) => return super::restore(e),
        Concern::Remarks => "run `idev-backup verify --deep`, which lists all of them",
        Concern::Unchecked => "run `idev-backup verify --deep`, which lists what was not checked",
        Concern::Damaged {
            path,
            can_be_repaired,
            is_tolerated,
        } => {
            let repair = repaired(path, *can_be_repaired);
            return Some(if *is_tolerated {
                format!("{repair}; `--force` restores the altered files as they are")
            } else {
                repair
            });
        }
        Concern::KnownDamage => "omit --quick-check, so that every byte is read again",
        Concern::NotRestorable => {
            "choose another backup from `idev-backup list`, or pass `--force` to restore this one \
            anyway"
        }
        Concern::NotFinished => "choose another backup from `idev-backup list`",
        Concern::NoPassword => {
            "pass it with --password-file, --password-command or IDEV_BACKUP_PASSWORD, or run \
            this in a terminal, which asks for it"
        }
        Concern::NotEncrypted => "if an encrypted backup of this phone exists, restore that one",
        Concern::NotSetUp => "finish the setup without restoring anything, then run this again",
        Concern::Locked => "unlock it, and keep it unlocked until the first files are sent",
        Concern::BatteryLow => "connect it to power",
        Concern::NotFetched => "`idev-backup verify --from repository` reads all of it there",
        Concern::StoreFull { missing_bytes } => {
            return Some(format!(
                "free {} on that disk, or name a store on another one with --store",
                size(*missing_bytes)
            ));
        }
        Concern::OlderIos { needed } => {
            return Some(format!("update the phone to iOS {needed} or later first"));
        }
        Concern::PhoneFull { missing_bytes } => {
            return Some(format!(
                "free {} on the phone (Settings > General > Storage), or erase it in its settings \
                first ({PROTECTED})",
                size(*missing_bytes)
            ));
        }
        Concern::FindMyOn => {
            return Some(format!(
                "switch off Settings > [name] > Find My > Find My iPhone ({PROTECTED}), and switch \
                it on again afterwards"
            ));
        }
        Concern::FindMyUnknown => {
            "check Settings > [name] > Find My: a phone refuses restores while it is on (code 211)"
        }
        Concern::EncryptionRequired => {
            "restore an encrypted backup, or ask the phone's administrator"
        }
        Concern::OverWifi => "connect the phone with its cable and run the same command again",
        Concern::EncryptionMayEnd => "run `idev-backup encryption status` afterwards",
    };
    Some(hint.to_owned())
}

/// Returns advice on getting an undamaged backup.
pub fn repaired(path: &str, can_be_repaired: bool) -> String {
    if can_be_repaired {
        format!(
            "run `idev-backup verify --repair \"{path}\"`, which copies undamaged files from \
            other snapshots; `idev-backup list` shows those"
        )
    } else {
        "choose another backup: this one is not in a store, so it cannot be repaired from \
        snapshots"
            .to_owned()
    }
}
