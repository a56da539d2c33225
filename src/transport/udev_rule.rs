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
    "let yourself use it: `idev-backup udev-rule | sudo tee /etc/udev/rules.d/70-idev-backup.rules && sudo udevadm control --reload`, \
     then plug the phone in again. The rule is: ",
    match_phones!(),
    ", MODE=\"0660\", GROUP=\"plugdev\", TAG+=\"uaccess\""
);

/// Returns the content of the whole file, with a comment on its purpose.
pub fn file() -> String {
    format!(
        "# Lets people use iPhones and iPads without a daemon (idev-backup): whoever sits at the computer, by uaccess, and the members\n\
         # of plugdev, who may come by ssh. Install it with\n\
         #   idev-backup udev-rule | sudo tee {FILE}\n\
         #   sudo udevadm control --reload\n\
         # and plug the phone in again. Debian's 39-usbmuxd.rules gives phones to usbmuxd's own user and leaves them unconfigured\n\
         # (bConfigurationValue=0); this comes later and gives them to you, and idev-backup configures them itself.\n\
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
