#!/usr/bin/env python3
"""Judges unattended backups with real schedulers and with programs that check their formats.

    python3 tests/peers/unattended.py target/release/idev-backup

A real cron runs an installed line until it has made a backup. systemd-analyze reads the units.
Python's plistlib and xmllint (with Apple's DTD, copied below) read the launch agent. xmllint checks
the task against the schema of MS-TSCH, section 2.5. Needs root, cron, systemd and libxml2-utils.
The script starts cron only if it does not run, and restores root's crontab.
"""

import os
import plistlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

from run import WORK, Phone, Report, check, run

WHENS = [["--daily", "22:00"], ["--weekly", "Sun 03:05"], ["--every", "6h"], ["--every", "15m"], ["--every", "24h"], ["--watch"]]

# http://www.apple.com/DTDs/PropertyList-1.0.dtd, without its comments.
PLIST_DTD = """
<!ENTITY % plistObject "(array | data | date | dict | real | integer | string | true | false )" >
<!ELEMENT plist %plistObject;>
<!ATTLIST plist version CDATA "1.0" >
<!ELEMENT array (%plistObject;)*>
<!ELEMENT dict (key, %plistObject;)*>
<!ELEMENT key (#PCDATA)>
<!ELEMENT string (#PCDATA)>
<!ELEMENT data (#PCDATA)>
<!ELEMENT date (#PCDATA)>
<!ELEMENT true EMPTY>
<!ELEMENT false EMPTY>
<!ELEMENT real (#PCDATA)>
<!ELEMENT integer (#PCDATA)>
"""

# The part of the task schema that we use, with its order of elements and its patterns: MS-TSCH,
# section 2.5 and below.
TASK_XSD = """<?xml version="1.0"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task"
  targetNamespace="http://schemas.microsoft.com/windows/2004/02/mit/task" elementFormDefault="qualified">
<xs:element name="Task"><xs:complexType><xs:all>
  <xs:element name="RegistrationInfo" minOccurs="0"><xs:complexType><xs:all>
    <xs:element name="Description" type="xs:string" minOccurs="0"/></xs:all></xs:complexType></xs:element>
  <xs:element name="Triggers" minOccurs="0"><xs:complexType><xs:choice minOccurs="0" maxOccurs="48">
    <xs:element name="LogonTrigger"><xs:complexType><xs:sequence><xs:group ref="base"/></xs:sequence></xs:complexType></xs:element>
    <xs:element name="CalendarTrigger"><xs:complexType><xs:sequence><xs:group ref="base"/>
      <xs:element name="RandomDelay" type="xs:duration" minOccurs="0"/>
      <xs:choice>
        <xs:element name="ScheduleByDay"><xs:complexType><xs:sequence>
          <xs:element name="DaysInterval"><xs:simpleType><xs:restriction base="xs:unsignedInt"><xs:minInclusive value="1"/>
            <xs:maxInclusive value="365"/></xs:restriction></xs:simpleType></xs:element></xs:sequence></xs:complexType></xs:element>
        <xs:element name="ScheduleByWeek"><xs:complexType><xs:all>
          <xs:element name="WeeksInterval" type="xs:unsignedByte" minOccurs="0"/>
          <xs:element name="DaysOfWeek" minOccurs="0"><xs:complexType><xs:all>
            <xs:element name="Monday" fixed="" minOccurs="0"/><xs:element name="Tuesday" fixed="" minOccurs="0"/>
            <xs:element name="Wednesday" fixed="" minOccurs="0"/><xs:element name="Thursday" fixed="" minOccurs="0"/>
            <xs:element name="Friday" fixed="" minOccurs="0"/><xs:element name="Saturday" fixed="" minOccurs="0"/>
            <xs:element name="Sunday" fixed="" minOccurs="0"/></xs:all></xs:complexType></xs:element>
        </xs:all></xs:complexType></xs:element>
      </xs:choice></xs:sequence></xs:complexType></xs:element>
  </xs:choice></xs:complexType></xs:element>
  <xs:element name="Settings" minOccurs="0"><xs:complexType><xs:all>
    <xs:element name="RestartOnFailure" minOccurs="0"><xs:complexType><xs:all>
      <xs:element name="Interval"><xs:simpleType><xs:restriction base="xs:duration"><xs:minInclusive value="PT1M"/>
        <xs:maxInclusive value="P31D"/></xs:restriction></xs:simpleType></xs:element>
      <xs:element name="Count"><xs:simpleType><xs:restriction base="xs:unsignedByte"><xs:minInclusive value="1"/></xs:restriction>
        </xs:simpleType></xs:element></xs:all></xs:complexType></xs:element>
    <xs:element name="MultipleInstancesPolicy" minOccurs="0"><xs:simpleType><xs:restriction base="xs:string">
      <xs:enumeration value="Parallel"/><xs:enumeration value="Queue"/><xs:enumeration value="IgnoreNew"/>
      <xs:enumeration value="StopExisting"/></xs:restriction></xs:simpleType></xs:element>
    <xs:element name="DisallowStartIfOnBatteries" type="xs:boolean" minOccurs="0"/>
    <xs:element name="StopIfGoingOnBatteries" type="xs:boolean" minOccurs="0"/>
    <xs:element name="StartWhenAvailable" type="xs:boolean" minOccurs="0"/>
    <xs:element name="ExecutionTimeLimit" type="xs:duration" minOccurs="0"/>
  </xs:all></xs:complexType></xs:element>
  <xs:element name="Principals" minOccurs="0"><xs:complexType><xs:sequence><xs:element name="Principal"><xs:complexType><xs:all>
    <xs:element name="LogonType" minOccurs="0"><xs:simpleType><xs:restriction base="xs:string">
      <xs:enumeration value="S4U"/><xs:enumeration value="Password"/><xs:enumeration value="InteractiveToken"/></xs:restriction></xs:simpleType></xs:element>
    <xs:element name="RunLevel" minOccurs="0"><xs:simpleType><xs:restriction base="xs:string">
      <xs:enumeration value="LeastPrivilege"/><xs:enumeration value="HighestAvailable"/></xs:restriction></xs:simpleType></xs:element>
    </xs:all><xs:attribute name="id" type="xs:ID"/></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>
  <xs:element name="Actions"><xs:complexType><xs:sequence><xs:element name="Exec"><xs:complexType><xs:all>
    <xs:element name="Command" type="xs:string"/><xs:element name="Arguments" type="xs:string" minOccurs="0"/>
    <xs:element name="WorkingDirectory" type="xs:string" minOccurs="0"/></xs:all></xs:complexType></xs:element></xs:sequence>
    <xs:attribute name="Context" type="xs:IDREF"/></xs:complexType></xs:element>
</xs:all><xs:attribute name="version"><xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="\\d+(\\.\\d+){1,3}"/>
  </xs:restriction></xs:simpleType></xs:attribute></xs:complexType></xs:element>
<xs:group name="base"><xs:sequence>
  <xs:element name="Repetition" minOccurs="0"><xs:complexType><xs:all>
    <xs:element name="Interval"><xs:simpleType><xs:restriction base="xs:duration"><xs:minInclusive value="PT1M"/>
      <xs:maxInclusive value="P31D"/></xs:restriction></xs:simpleType></xs:element>
    <xs:element name="Duration" type="xs:duration" minOccurs="0"/>
    <xs:element name="StopAtDurationEnd" type="xs:boolean" minOccurs="0"/></xs:all></xs:complexType></xs:element>
  <xs:element name="StartBoundary" type="xs:dateTime" minOccurs="0"/>
  <xs:element name="EndBoundary" type="xs:dateTime" minOccurs="0"/>
  <xs:element name="ExecutionTimeLimit" type="xs:duration" minOccurs="0"/>
  <xs:element name="Enabled" type="xs:boolean" minOccurs="0"/>
</xs:sequence></xs:group>
</xs:schema>
"""


def stand_ins(folder):
    """Makes stand-ins for programs of other systems, and returns a PATH with them.

    They succeed without doing anything; schtasks also keeps its file. Only the formats are judged,
    not the programs.
    """
    bin = folder / "bin"
    bin.mkdir(parents=True)
    # The last argument of schtasks is the file.
    for name, script in (
        ("systemctl", "exit 0"),
        ("launchctl", "exit 0"),
        ("schtasks", f'for last; do :; done; cp "$last" "{folder}/task.xml"'),
    ):
        (bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (bin / name).chmod(0o755)
    return f"{bin}:{os.environ['PATH']}"


def with_path(path, ours, *words):
    run("env", f"PATH={path}", ours, "schedule", *words)


def systemd(ours, folder, path):
    units = Path(os.environ["HOME"]) / ".config" / "systemd" / "user"
    for when in WHENS:
        with_path(path, ours, "add", "judged", *when, "--with", "systemd")
        files = sorted(units.glob("idev-backup-judged.*"))
        check(len(files) == (1 if when == ["--watch"] else 2), f"{when}: {files}")
        runtime = f"XDG_RUNTIME_DIR={folder}"
        said = run("env", runtime, "systemd-analyze", "verify", "--user", "--man=no", *files)
        check("idev-backup" not in said, f"{when}: {said}")
        for timer in (file for file in files if file.suffix == ".timer"):
            calendar = re.search(r"^OnCalendar=(.*)$", timer.read_text(), re.M)[1]
            check("Next elapse" in run("systemd-analyze", "calendar", calendar), calendar)
    with_path(path, ours, "remove", "judged")
    check(not list(units.glob("idev-backup-judged.*")), "units are left")


def launchd(ours, folder, path):
    agent = Path(os.environ["HOME"]) / "Library" / "LaunchAgents" / "org.idev-backup.judged.plist"
    (folder / "plist.dtd").write_text(PLIST_DTD)
    for when in WHENS:
        with_path(path, ours, "add", "judged", *when, "--with", "launchd")
        run("xmllint", "--noout", "--nonet", "--dtdvalid", folder / "plist.dtd", agent)
        words = plistlib.loads(agent.read_bytes())
        check(words["ProgramArguments"][1:3] == ["schedule", "run"], words)
        check(Path(words["ProgramArguments"][3]).is_file(), words)
    with_path(path, ours, "remove", "judged")
    check(not agent.exists(), "the agent is left")


def task(ours, folder, path):
    (folder / "task.xsd").write_text(TASK_XSD)
    for when in WHENS:
        with_path(path, ours, "add", "judged", *when, "--with", "task")
        definition = folder / "task.xml"
        check(definition.read_bytes()[:2] == b"\xff\xfe", "the task is not UTF-16 with a byte order mark")
        run("xmllint", "--noout", "--nonet", "--schema", folder / "task.xsd", definition)
        found = ElementTree.fromstring(definition.read_bytes())
        command = found.find(".//{*}Command").text
        check(Path(command).is_file(), command)
        definition.unlink()


def stored():
    """Returns root's crontab, read from its file.

    Debian's `crontab -l` shows a carriage return as two other characters.
    """
    return "".join(Path("/var/spool/cron/crontabs/root").read_bytes().decode().partition("# DO NOT EDIT")[2].split("\n", 3)[3:])


def a_real_cron(ours, folder):
    """Has cron run a line that the program installed; cron does not pass on our environment."""
    odd = folder / "50% o'clock \"home\""  # Characters that a crontab must escape.
    odd.mkdir()
    store = folder / "store"
    before = subprocess.run(["crontab", "-l"], capture_output=True, check=False)
    others = "MAILTO=\"\"\n# odd\r\n\n59 23 31 12 * echo 100\\%\n"
    subprocess.run(["crontab", "-"], input=others.encode(), check=True)
    cron = None
    environment = ["env", f"HOME={odd}", f"IDEV_BACKUP_STORE={store}"]
    # A job never creates a store, so make one with a first backup.
    run(*environment, ours, "create", "--new-store")
    try:
        run(*environment, ours, "schedule", "add", "judged", "--every", "5m", "--with", "cron", "--", "--if-present")
        crontab = stored()
        check(crontab.startswith(others), f"the lines of others have changed: {crontab!r}")
        # Let cron run the line in the next minute instead of waiting up to five minutes.
        check(crontab.count("*/5 * * * *") == 1, crontab)
        subprocess.run(["crontab", "-"], input=crontab.replace("*/5 * * * *", "* * * * *").encode(), check=True)
        if subprocess.run(["pgrep", "-x", "cron"], capture_output=True, check=False).returncode:
            cron = subprocess.Popen(["cron", "-f"], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 150
        while True:
            status = run(*environment, ours, "schedule", "status")
            if "done, or nothing to do" in status:
                break
            check(time.monotonic() < deadline, f"cron did not run it: {status}")
            time.sleep(1)
        check("last good backup today" in status, status)
        backups = [entry for entry in store.iterdir() if not entry.name.startswith(".")]
        check(len(backups) >= 2, f"cron made no backup: {backups}")
        run(*environment, ours, "verify", "--quick")
        run(*environment, ours, "schedule", "remove", "judged")
        crontab = stored()
        check(crontab == others, f"`remove` left another crontab: {crontab!r}")
    finally:
        if cron:
            cron.terminate()
            cron.wait()
        if before.returncode:
            subprocess.run(["crontab", "-r"], check=False)
        else:
            subprocess.run(["crontab", "-"], input=before.stdout, check=False)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    ours = Path(sys.argv[1]).resolve(strict=True)
    stage = WORK / "unattended"
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "home").mkdir(parents=True)
    os.environ["HOME"] = str(stage / "home")
    for name in [name for name in os.environ if name.startswith(("XDG_", "IDEV_BACKUP_"))]:
        del os.environ[name]
    report = Report()
    path = stand_ins(stage)
    # `schedule add` requires an existing store.
    with Phone(ours, stage):
        run(ours, "create", "--new-store")
    for name, judge in (("systemd-analyze reads the units", systemd), ("xmllint and plistlib read the launch agent", launchd),
                        ("the task conforms to its schema", task)):  # fmt: skip
        report.scene(name, lambda judge=judge: judge(ours, stage, path))

    def cron_runs():
        with Phone(ours, stage):
            a_real_cron(ours, stage)

    report.scene("a real cron backs up a phone", cron_runs)
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
