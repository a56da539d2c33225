#!/bin/sh
# Installs idev-backup from this folder. It needs no root.
#
#   sh install.sh                      below ~/.local
#   sh install.sh --prefix /usr/local  below another folder (there it may need root)
#   sh install.sh --uninstall          removes the files of an earlier installation, and nothing else
#
# Backups, the config file and pair records stay in either case.
set -eu

prefix=$HOME/.local
action=install
while [ $# -gt 0 ]; do
  case $1 in
    --prefix)
      [ $# -ge 2 ] || { echo "error: --prefix needs a folder" >&2; exit 2; }
      prefix=$2
      shift
      ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    --uninstall) action=uninstall ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "error: unknown argument '$1'; --help lists the arguments" >&2; exit 2 ;;
  esac
  shift
done
case $prefix in
  /*) ;;
  *) echo "error: --prefix needs a path that begins with /" >&2; exit 2 ;;
esac
# The list of the files that were installed, so that a later version can remove them.
list=$prefix/share/doc/idev-backup/installed-files

# Removes the installed files, and our own folders that they leave empty.
uninstall() {
  [ -f "$list" ] || return 0
  # A list that was read completely, because it names itself too.
  installed=$(cat "$list")
  printf '%s\n' "$installed" | while IFS= read -r file; do
    case $file in
      *..*) ;;
      bin/?* | share/?*) rm -f "$prefix/$file" ;;
    esac
  done
  printf '%s\n' "$installed" | sed 's|/[^/]*$||' | sort -ur | while IFS= read -r folder; do
    case $folder in
      *..*) ;;
      share/doc/idev-backup*) rmdir "$prefix/$folder" 2>/dev/null || true ;;
    esac
  done
}

if [ "$action" = uninstall ]; then
  if [ ! -f "$list" ]; then
    echo "error: install.sh has installed nothing below $prefix" >&2
    exit 1
  fi
  uninstall
  echo "Removed idev-backup from $prefix. Backups and the config file stay."
  exit 0
fi

here=$(cd "$(dirname "$0")" && pwd)
[ -f "$here/files" ] && [ -f "$here/bin/idev-backup" ] || { echo "error: $here is not an unpacked release of idev-backup" >&2; exit 1; }
# A program for another processor or system must not replace one that works.
"$here/bin/idev-backup" -V >/dev/null || { echo "error: the program does not run on this computer: $here/bin/idev-backup" >&2; exit 1; }
uninstall
while IFS= read -r file; do
  mkdir -p "$prefix/$(dirname "$file")"
  # A new name first, so that a running program is not written over.
  cp "$here/$file" "$prefix/$file.new"
  mv -f "$prefix/$file.new" "$prefix/$file"
done <"$here/files"
cp "$here/files" "$list"
echo "share/doc/idev-backup/installed-files" >>"$list"
echo "Installed $("$prefix/bin/idev-backup" -V) in $prefix/bin."
case :$PATH: in
  *":$prefix/bin:"*) ;;
  *) echo "hint: $prefix/bin is not in PATH. Add this line to ~/.profile and log in again: PATH=\"$prefix/bin:\$PATH\"" ;;
esac
