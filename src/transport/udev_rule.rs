//! The udev rule that lets users open phones on Linux, where by default only root may open USB
//! devices.

/// Path of the rule's file. The name sorts before 73-seat-late.rules, which acts on `uaccess`, and
/// after 39-usbmuxd.rules.
pub const FILE: &str = "/etc/udev/rules.d/70-idev-backup.rules";

macro_rules! match_phones {
    () => {
        "SUBSYSTEM==\"usb\", ENV{DEVTYPE}==\"usb_device\", ATTR{idVendor}==\"05ac\", ATTR{idProduct}==\"12[9a]?|190[1-5]|8600\""
    };
}

/// The rule itself, one line.
pub const RULE: &str = concat!(
    match_phones!(),
    ", MODE=\"0660\", GROUP=\"plugdev\", TAG+=\"uaccess\""
);

/// Advice for a user who lacks permission to open the phone.
pub const HINT: &str = concat!(
    "install a udev rule with `idev-backup udev-rule | sudo tee \
     /etc/udev/rules.d/70-idev-backup.rules && sudo udevadm control --reload`, then plug the \
     phone in again. The rule is: ",
    match_phones!(),
    ", MODE=\"0660\", GROUP=\"plugdev\", TAG+=\"uaccess\""
);

/// Returns the content of the whole file, with a comment on its purpose.
pub fn file() -> String {
    format!(
        "# Gives users access to iPhones and iPads without a daemon (idev-backup): the user who is\n\
         # logged in at this computer (uaccess) and members of the group plugdev, for example over\n\
         # ssh. Install it with\n\
         #   idev-backup udev-rule | sudo tee {FILE}\n\
         #   sudo udevadm control --reload\n\
         # and plug the phone in again. Debian's 39-usbmuxd.rules gives phones to usbmuxd's own user\n\
         # and leaves them unconfigured (bConfigurationValue=0). This rule has a later name and gives\n\
         # them to users instead; idev-backup configures them itself.\n\
         {RULE}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_and_file_contain_rule() {
        for text in [HINT.to_owned(), file()] {
            assert!(text.contains(RULE) && text.contains(FILE), "{text}");
        }
        // udev reports a line that is neither a comment nor a rule as an error.
        let rules: Vec<String> = file()
            .lines()
            .filter(|l| !l.starts_with('#'))
            .map(str::to_owned)
            .collect();
        assert_eq!(rules, [RULE]);
    }
}
