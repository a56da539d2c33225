//! The first screen of the program, and advice for words that are not commands.

/// The help of the program: what to do first, then all commands in groups.
pub const SCREEN: &str = "\
Backs up an iPhone or iPad to a folder that every tool can read, and proves that the backup is complete.

Connect the phone with its cable, unlock it, and run:
  idev-backup setup       Choose where and when, and make the first backup
  idev-backup create      Back up the phone
  idev-backup list        Show the backups
  idev-backup verify      Check the latest backup

Usage: idev-backup [OPTIONS] <COMMAND>

Commands:
  Back up      setup  create  devices  pair  unpair  wifi  encryption  doctor
  See          open  serve  list  info  usage  ls  find  search  tree  cat  diff
  Get out      extract  export
  Trust        verify  restore
  Keep         prune  pin  unpin  tag  delete  retire  adopt  copy  repository
  Automate     schedule  watch  config
  More         demo  simulate  trace  udev-rule  completions  man

Options:
      --config <FILE>  Use this config file
  -q, --quiet          Print only problems and the data that was asked for
  -h                   Show this help; after a command, its most used options
      --help           Show this help; after a command, all of its options
  -V                   Show the version
      --version        Show the version and what it was built from

No phone at hand? `idev-backup demo` backs up a simulated one.
";

/// Returns advice for a word that people type as a command and that is not a command.
pub fn advice(word: &str) -> Option<&'static str> {
    Some(match word {
        "init" => "`idev-backup setup` asks where to keep backups, and makes the store",
        "configure" | "settings" => {
            "`idev-backup setup` asks a few questions, `config` shows and changes all settings"
        }
        "web" | "browse" | "gui" => "`idev-backup open` shows the backups in a browser",
        "mount" => "`idev-backup extract --to FOLDER` writes the files of a backup to a folder",
        "grep" => {
            "`idev-backup search TEXT` searches messages and other content, `find PATTERN` finds files"
        }
        "messages" | "sms" | "imessage" | "chats" => {
            "`idev-backup export messages --to FOLDER` writes conversations and attachments"
        }
        "photos" | "videos" | "pictures" => "`idev-backup export photos --to FOLDER` writes them",
        "whatsapp" => "`idev-backup export whatsapp --to FOLDER` writes its chats and files",
        "notes" => "`idev-backup export notes --to FOLDER` writes them as Markdown",
        "contacts" => "`idev-backup export contacts --to FOLDER` writes them as vCard",
        "missing" => "`idev-backup info` shows what a backup lacks",
        "status" => "`idev-backup list` shows the backups, `doctor` looks for problems",
        "sync" | "mirror" => "`idev-backup copy` copies a backup to another disk",
        "push" | "restic" | "remote" => {
            "`idev-backup repository push` pushes backups to an encrypted repository elsewhere"
        }
        "rm" | "remove" => {
            "`idev-backup delete` deletes one backup, `prune` those that no rule keeps"
        }
        "version" => "`idev-backup --version` shows it",
        _ => return None,
    })
}
