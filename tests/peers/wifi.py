#!/usr/bin/env python3
"""Judges Wi-Fi: the simulated phone and a computer in network namespaces of their own.

    python3 tests/peers/wifi.py target/release/idev-backup [--all]

The phone and the computer are joined by a bridge, which stands for the access point, so that a
phone can fall silent while no link goes down. A Unix socket, which all namespaces see, is the
cable. `zeroconf` browses what our phone advertises; `pymobiledevice3` finds our phone, and backs it
up. Then our program does: it must find the phone by either advert and one that `zeroconf` makes,
and continue after lost connections, silence, and changes of the address.

Needs root, iproute2 and the judges of run.py. Without root or namespaces it says so, and ends
with 0. `--all` adds the scenes that take longer.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from run import HERE, VENV, WORK, Failed, Phone, Report, check, install_judges, payload, phone_finished, phone_flags, run, same_payload

PYTHON = VENV / "bin" / "python"
PYMOBILEDEVICE3 = VENV / "bin" / "pymobiledevice3"
NETWORK = "10.77.0"


class Lab:
    """Two computers and an access point. Leaving it removes them."""

    def __init__(self):
        self.phone, self.computer, self.air = (f"wifi-{os.getpid()}-{name}" for name in ("phone", "computer", "air"))

    def __enter__(self):
        try:
            for name in (self.phone, self.computer, self.air):
                self._run("ip", "netns", "add", name)
            self._run("ip", "-n", self.air, "link", "add", "air", "type", "bridge", "mcast_snooping", "0")
            self._run("ip", "-n", self.air, "link", "set", "air", "up")
            self._join(self.phone, "pp", "en0", 2)
            self._join(self.computer, "pc", "wl0", 3)
        except Failed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in (self.phone, self.computer, self.air):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)

    def _run(self, *words):
        return run(*words)

    def _join(self, namespace, port, device, number):
        self._run("ip", "-n", self.air, "link", "add", port, "type", "veth", "peer", "name", device, "netns", namespace)
        self._run("ip", "-n", self.air, "link", "set", port, "master", "air", "up")
        # Otherwise the link-local address cannot be used in the first second.
        self._run(*self.on(namespace), "sysctl", "-qw", f"net.ipv6.conf.{device}.accept_dad=0")
        self._run("ip", "-n", namespace, "link", "set", "lo", "up")
        self._run("ip", "-n", namespace, "addr", "add", f"{NETWORK}.{number}/24", "brd", "+", "dev", device)
        self._run("ip", "-n", namespace, "link", "set", device, "up")
        # Senders of multicast that name no interface need a route.
        self._run("ip", "-n", namespace, "route", "add", "224.0.0.0/4", "dev", device)

    @staticmethod
    def on(namespace):
        return ["ip", "netns", "exec", namespace]

    def at_computer(self, *words, also_ok=()):
        return run(*self.on(self.computer), *words, also_ok=also_ok)

    def link_local(self):
        """Returns the phone's link-local address."""
        said = self._run("ip", "-n", self.phone, "-6", "-o", "addr", "show", "dev", "en0", "scope", "link")
        return re.search(r"inet6 (fe80:[0-9a-f:]+)", said)[1]

    def readdress(self, old, new):
        """Gives the phone another IPv4 address. The old one never answers again."""
        self._run("ip", "-n", self.phone, "addr", "del", f"{NETWORK}.{old}/24", "dev", "en0")
        self._run("ip", "-n", self.phone, "addr", "add", f"{NETWORK}.{new}/24", "brd", "+", "dev", "en0")
        self._run("ip", "-n", self.phone, "route", "replace", "224.0.0.0/4", "dev", "en0")

    def add_address(self, number):
        self._run("ip", "-n", self.phone, "addr", "add", f"{NETWORK}.{number}/24", "dev", "en0")

    def remove_address(self, number):
        self._run("ip", "-n", self.phone, "addr", "del", f"{NETWORK}.{number}/24", "dev", "en0")

    def let_multicast_through(self, through):
        """Switches the delivery of multicast to the computer on or off, as some access points do."""
        self._run("ip", "-n", self.air, "link", "set", "pc", "type", "bridge_slave", "mcast_flood", "on" if through else "off")

    def browse(self, seconds=5, count=1):
        return json.loads(self.at_computer(PYTHON, HERE / "mdns.py", "browse", seconds, count))


class WifiPhone(Phone):
    """A simulated phone in the phone's namespace; its cable is a Unix socket."""

    def __init__(self, lab, ours, folder, *flags, addresses=(f"{NETWORK}.2",)):
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(ours, folder)
        at = [word for address in addresses for word in ("--wifi", address)]
        self.command = [*lab.on(lab.phone), ours, "simulate", *at, "--heartbeat", "2", *phone_flags(flags)]
        self.dead = folder / "no.sock"

    def __enter__(self):
        # Commands come through a pipe.
        socket = Path(self.socket_folder.name) / "sim.sock"
        with open(self.log, "wb") as log:
            command = [*map(str, self.command), "--listen", f"UNIX:{socket}"]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, text=True)
        self.cable = str(socket)
        try:
            self.says(r"^WIFI_ADDRESS=(\S+)$")
        except Failed:
            self.__exit__()
            raise
        self.plug()
        return self

    def __exit__(self, *details):
        self.process.stdin.close()
        super().__exit__(*details)

    def says(self, pattern, seconds=60):
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log.read_text(), re.M)):
            said = self.log.read_text().strip()[-600:]
            check(self.process.poll() is None and time.monotonic() < deadline, f"the simulated phone does not say {pattern}: {said}")
            time.sleep(0.02)
        return found[1]

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def plug(self):
        os.environ["USBMUXD_SOCKET_ADDRESS"] = self.cable

    def unplug(self):
        """Leaves the clients nothing but Wi-Fi."""
        os.environ["USBMUXD_SOCKET_ADDRESS"] = str(self.dead)


class Zeroconf:
    """zeroconf beside the phone, which advertises."""

    def __init__(self, lab, adverts):
        words = [*lab.on(lab.phone), PYTHON, HERE / "mdns.py", "advertise"]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(adverts) + "\n")
        self.process.stdin.flush()

    def __enter__(self):
        if self.process.stdout.readline().strip() != "ready":
            self.__exit__()
            raise Failed("zeroconf does not advertise")

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


class Heart:
    """pymobiledevice3's heartbeat, which it does not start unasked."""

    def __init__(self, lab, udid):
        words = [*lab.on(lab.computer), PYMOBILEDEVICE3, "--no-color", "-vvv", "lockdown", "heartbeat", "--mobdev2", "--udid", udid]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.beats = threading.Event()
        self.said = []
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        for line in self.process.stdout:
            self.said.append(line)
            if "Marco" in line:
                self.beats.set()

    def __enter__(self):
        if not self.beats.wait(60):
            self.__exit__()
            raise Failed(f"no heartbeat: {''.join(self.said)[-600:]}")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Ours:
    """Our program on the computer. It has the pair records of pymobiledevice3, and a store."""

    def __init__(self, lab, ours, folder):
        self.lab, self.ours, self.store = lab, ours, folder / "store"
        records = Path(os.environ["HOME"]) / ".config" / "idev-backup" / "pairing"
        records.mkdir(parents=True, mode=0o700, exist_ok=True)
        for record in (Path(os.environ["HOME"]) / ".local" / "share" / "pymobiledevice3").glob("*.plist"):
            (records / record.name).write_bytes(record.read_bytes())
            (records / record.name).chmod(0o600)

    def command(self, *words):
        return [*self.lab.on(self.lab.computer), str(self.ours), *map(str, words), "--transport", "network"]

    def says(self, *words, ends=0):
        """Runs a command that must end with one of the exit codes `ends`. Returns code and output."""
        command = self.command(*words)
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
        )
        wanted = ends if isinstance(ends, tuple) else (ends,)
        check(done.returncode in wanted, f"`{' '.join(words[:1])}` ended with {done.returncode}:\n{done.stdout[-1500:]}")
        return done.returncode, done.stdout

    def creates(self, *words, ends=0):
        new = [] if self.store.exists() else ["--new-store"]
        return self.says("create", *new, "--store", self.store, *words, ends=ends)

    def holds(self, udid, expected):
        same_payload(payload(self.store / udid), expected)
        run(self.ours, "verify", self.store / udid)

    def finds(self, udid):
        """Returns the seconds that `devices` took to show the phone."""
        begun = time.monotonic()
        _, said = self.says("devices", "--json")
        phones = json.loads(said)["devices"]
        check([phone["udid"] for phone in phones] == [udid], f"`devices` shows {said}")
        return time.monotonic() - begun


def pymobiledevice3(lab, *words, also_ok=()):
    return lab.at_computer(PYMOBILEDEVICE3, "--no-color", *words, also_ok=also_ok)


def reference(ours, folder, *flags):
    """Returns what idevicebackup2 fetches by cable from a phone with the same contents."""
    (folder / "backups").mkdir(parents=True)
    with Phone(ours, folder, *flags):
        run("idevicepair", "pair")
        run("idevicebackup2", "backup", folder / "backups")
    return payload(next((folder / "backups").glob("*/Manifest.plist")).parent)


def pair_and_switch_on(lab):
    pymobiledevice3(lab, "lockdown", "pair")
    pymobiledevice3(lab, "lockdown", "wifi-connections", "on")
    said = pymobiledevice3(lab, "lockdown", "info")
    return re.search(r'"UniqueDeviceID": "([^"]+)"', said)[1], re.search(r'"WiFiAddress": "([^"]+)"', said)[1]


def backs_up(lab, udid, folder, expected=None, full=True):
    folder.mkdir(exist_ok=True)
    with Heart(lab, udid):
        pymobiledevice3(lab, "backup2", "backup", *(["--full"] if full else []), "--mobdev2", "--udid", udid, folder)
    phone_finished(folder / udid, full)
    if expected:
        same_payload(payload(folder / udid), expected)


def phone_with_its_mac(report, lab, ours, folder, expected, all_scenes):
    with WifiPhone(lab, ours, folder, addresses=(f"{NETWORK}.2", f"[{lab.link_local()}%en0]")) as phone:

        def is_silent():
            check(lab.browse(seconds=1) == {}, "the phone advertises itself")

        def is_found():
            found = lab.browse()
            check(len(found) == 1, f"zeroconf found {found}")
            (name, advert), = found.items()
            check(name.startswith(f"{mac}@{lab.link_local()}-supportsRP-"), f"the name is {name}")
            check(advert["addresses"][0] == f"{NETWORK}.2", f"{advert}")
            check(advert["addresses"][1].startswith(lab.link_local()), f"{advert}")
            check(advert["port"] == 32498 and advert["properties"] == {}, f"{advert}")
            check(advert["after"] < 2, f"found after {advert['after']} s")

        def goes():
            phone.plug()
            pymobiledevice3(lab, "lockdown", "wifi-connections", "off")
            is_silent()
            pymobiledevice3(lab, "lockdown", "wifi-connections", "on")
            phone.unplug()

        def needs_a_heartbeat():
            said = pymobiledevice3(lab, "backup2", "backup", "--full", "--mobdev2", "--udid", udid, folder, also_ok=[1])
            check("terminated" in said or "Error" in said or "ERROR" in said, said[-600:])
            check(not (folder / udid / "Status.plist").exists(), "there is a backup")

        def moves():
            lab.readdress(2, 9)
            phone.tell(f"roam {NETWORK}.9")
            phone.says(rf"^WIFI_ADDRESS=({NETWORK}.9:62078)$")
            backs_up(lab, udid, folder / "theirs", full=False)
            lab.readdress(9, 2)

        report.scene("a phone with its switch off is silent", is_silent)
        udid, mac = report.scene("pymobiledevice3 pairs by cable, and switches Wi-Fi on", lambda: pair_and_switch_on(lab)) or (None, None)
        if not udid:
            return
        phone.unplug()
        report.scene("zeroconf finds the phone by its MAC", is_found)
        report.scene("pymobiledevice3 backs up over Wi-Fi", lambda: backs_up(lab, udid, folder / "theirs", expected))
        if all_scenes:
            report.scene("the advert follows the switch", goes)
            report.scene("a backup without a heartbeat is cut", needs_a_heartbeat)
            report.scene("pymobiledevice3 continues at a new address", moves)


def phone_with_tags(report, lab, ours, folder, _, all_scenes):
    """Plays a phone of iOS 26.4, which has nothing but a link-local address and a private MAC."""
    expected = reference(ours, folder / "reference", "--ios", "26.4") if all_scenes else None
    with WifiPhone(lab, ours, folder, "--ios", "26.4", addresses=(f"[{lab.link_local()}%en0]",)) as phone:

        def is_found():
            found = lab.browse()
            check(len(found) == 1, f"zeroconf found {found}")
            (name, advert), = found.items()
            check(not name.startswith(mac), f"the name {name} shows the phone's own MAC")
            properties = advert["properties"]
            check(re.fullmatch(r"[0-9A-F-]{36}", properties.pop("identifier")), f"{advert}")
            check(list(properties) == ["authTag"] and re.fullmatch(r"[A-Za-z0-9+/]{11}=", properties["authTag"]), f"{advert}")
            return name

        def is_known():
            said = pymobiledevice3(lab, "lockdown", "info", "--mobdev2", "--udid", udid)
            check(udid in said, said[-600:])

        def hides_again():
            phone.tell("private")
            deadline = time.monotonic() + 20
            while first in (names := list(lab.browse(seconds=2))) or not names:
                check(time.monotonic() < deadline, f"zeroconf finds {names}")
            is_known()

        udid, mac = report.scene("pymobiledevice3 pairs with a phone of iOS 26.4", lambda: pair_and_switch_on(lab)) or (None, None)
        if not udid:
            return
        phone.unplug()
        first = report.scene("zeroconf finds a private MAC and a tag", is_found)
        report.scene("pymobiledevice3 knows the phone by its tag", is_known)
        if all_scenes:
            report.scene("pymobiledevice3 backs up by IPv6 alone", lambda: backs_up(lab, udid, folder / "theirs", expected))
            report.scene("pymobiledevice3 knows the phone by a new private MAC", hides_again)


def our_program(report, lab, ours, folder, expected, all_scenes):
    flags = ("--advert", "mac")
    with WifiPhone(lab, ours, folder, *flags, addresses=(f"{NETWORK}.2", f"[{lab.link_local()}%en0]")) as phone:
        udid, _ = pair_and_switch_on(lab)
        phone.unplug()
        program = Ours(lab, ours, folder)

        def is_seen():
            seconds = min(program.finds(udid) for _ in range(3))
            print(f"   `devices` sees the phone after {seconds:.2f} s", flush=True)
            check(seconds < 2, f"`devices` took {seconds:.2f} s")

        def is_whole():
            program.creates()
            program.holds(udid, expected)

        def follows():
            lab.readdress(2, 9)
            phone.tell(f"roam {NETWORK}.9")
            phone.says(rf"^WIFI_ADDRESS=({NETWORK}.9:62078)$")
            program.creates()
            lab.readdress(9, 2)

        report.scene("our program sees the phone by its MAC within 2 s", is_seen)
        report.scene("create over Wi-Fi stores what idevicebackup2 fetched", is_whole)
        report.scene("create continues at a new address", follows)


def our_program_and_tags(report, lab, ours, folder, _, all_scenes):
    expected = reference(ours, folder / "reference", "--ios", "26.4")
    with WifiPhone(lab, ours, folder, "--ios", "26.4", addresses=(f"[{lab.link_local()}%en0]",)) as phone:
        udid, _ = pair_and_switch_on(lab)
        phone.unplug()
        program = Ours(lab, ours, folder)

        def is_whole():
            program.creates()
            program.holds(udid, expected)

        def hides_again():
            phone.tell("private")
            time.sleep(0.5)
            program.finds(udid)

        report.scene("create finds the phone by its tag, and by IPv6 alone", is_whole)
        report.scene("our program knows the phone by a new private MAC", hides_again)


def listed_by_a_daemon(report, lab, ours, folder, expected, _):
    """Has a daemon list the phone over Wi-Fi, as usbmuxd of macOS and netmuxd do."""
    # The second backup must hold what the first one does.
    with WifiPhone(lab, ours, folder, "--advert", "mac", "--wifi-listed", "--changes", "0") as phone:
        udid, _ = pair_and_switch_on(lab)

        def is_reached():
            # The heartbeat is that of the same computer: both have the pair record of this daemon.
            with Heart(lab, udid):
                phone.tell("unplug")
                os.environ["USBMUXD_SOCKET_ADDRESS"] = f"UNIX:{phone.cable}"
                check(lab.at_computer("idevice_id", "-l").strip() == "", "the phone has a cable")
                check(lab.at_computer("idevice_id", "-n").split()[:1] == [udid], "idevice_id does not list the phone")
                (folder / "theirs").mkdir()
                said = lab.at_computer("idevicebackup2", "-n", "-u", udid, "backup", folder / "theirs")
                check("Backup Successful" in said, said[-600:])
            same_payload(payload(folder / "theirs" / udid), expected)

        def is_used():
            program = Ours(lab, ours, folder)
            said = lab.at_computer(ours, "devices", "--json")
            check('"Wi-Fi"' in said and udid in said, said)
            lab.at_computer(ours, "create", "--new-store", "--quiet", "--store", program.store)
            program.holds(udid, expected)

        report.scene("idevicebackup2 backs up a phone that a daemon lists over Wi-Fi", is_reached)
        report.scene("create backs up a phone that a daemon lists over Wi-Fi", is_used)


def interruptions(report, lab, ours, folder, expected, all_scenes):
    """Ends connections at random places. Every run after that must continue, and the last be whole."""
    with WifiPhone(lab, ours, folder, addresses=(f"{NETWORK}.2",)) as phone:
        udid, _ = pair_and_switch_on(lab)
        phone.unplug()
        program = Ours(lab, ours, folder)
        places = random.Random(7)

        def drops():
            for number in range(20 if all_scenes else 3):
                phone.tell(f"after {places.randrange(20_000, 500_000)} drop")
                _, said = program.creates(ends=8)
                check(number == 0 or "ontinu" in said, f"run {number} does not continue:\n{said[-800:]}")

        def roams():
            lab.add_address(9)
            phone.tell(f"after 300000 roam {NETWORK}.9")
            program.creates(ends=8)

        def is_out_of_reach():
            phone.tell("after 300000 silence")
            program.creates(ends=8)
            phone.tell("wake")

        def is_whole():
            program.creates()
            program.holds(udid, expected)

        report.scene("create ends with 8 where the connections end, and continues", drops)
        report.scene("create ends with 8 after the phone has moved", roams)
        if all_scenes:
            report.scene("create ends with 8 if the phone is out of reach", is_out_of_reach)
        report.scene("the backup is whole in the end", is_whole)
        lab.remove_address(9)


def many_files(report, lab, ours, folder, _, all_scenes):
    """Ends the connections of a large backup at twenty random places."""
    if not all_scenes:
        return
    flags = ("--files", "50000")
    expected = reference(ours, folder / "reference", *flags)
    with WifiPhone(lab, ours, folder, *flags) as phone:
        udid, _ = pair_and_switch_on(lab)
        phone.unplug()
        program = Ours(lab, ours, folder)
        places = random.Random(11)

        def drops():
            for number in range(20):
                phone.tell(f"after {places.randrange(500_000, 20_000_000)} drop")
                _, said = program.creates(ends=8)
                check(number == 0 or "ontinu" in said, f"run {number} does not continue:\n{said[-800:]}")
            program.creates()
            program.holds(udid, expected)

        report.scene("50,000 files are whole after twenty drops", drops)


def blocked_multicast(report, lab, ours, folder, expected, _):
    """Has the access point drop multicast, so that the phone is reachable by its address only."""
    with WifiPhone(lab, ours, folder, "--advert", "mac") as phone:
        udid, _ = pair_and_switch_on(lab)
        phone.unplug()
        program = Ours(lab, ours, folder)

        def is_reached():
            program.creates(ends=4)
            program.creates("--address", f"{NETWORK}.2")
            program.holds(udid, expected)

        def is_explained():
            _, said = program.says("doctor", "--store", program.store, ends=(1, 3))
            check("no device on the network answers an mDNS query" in said, said[-1500:])

        lab.let_multicast_through(False)
        report.scene("create reaches the phone by --address without multicast", is_reached)
        report.scene("doctor says that multicast does not arrive", is_explained)
        lab.let_multicast_through(True)


def foreign_advert(report, lab, ours, folder, _, all_scenes):
    """Has zeroconf advertise the phone, and then ten thousand others."""
    with WifiPhone(lab, ours, folder, "--advert", "none") as phone:
        udid, mac = pair_and_switch_on(lab)
        phone.unplug()
        program = Ours(lab, ours, folder)

        def finds():
            adverts = [
                {"name": "02:11:22:33:44:55@fe80::9", "addresses": [f"{NETWORK}.77"]},
                {"name": f"{mac.upper()}@fe80::1-supportsRP-24", "addresses": [f"{NETWORK}.2"], "port": 9},
            ]
            with Zeroconf(lab, adverts):
                program.finds(udid)

        def stays_small():
            command = program.command("create", "--new-store", "--store", program.store, "--wait-for-device", "5m")
            log = folder / "waiting.log"
            with open(log, "wb") as out:
                waiting = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
            try:
                # Reserves what the program keeps for phones, up to its limit.
                run(*lab.on(lab.phone), PYTHON, HERE / "mdns.py", "flood", 3_000)
                time.sleep(2)
                memory, used = resident(waiting.pid), processor_seconds(waiting.pid)
                run(*lab.on(lab.phone), PYTHON, HERE / "mdns.py", "flood", 10_000)
                time.sleep(2)
                check(waiting.poll() is None, f"`create` ended: {log.read_text()[-600:]}")
                grown, used = resident(waiting.pid) - memory, processor_seconds(waiting.pid) - used
            finally:
                waiting.terminate()
                waiting.wait()
            print(f"   10,000 events: {grown / 1e6:.1f} MB more memory, {used:.1f} s of the processor", flush=True)
            check(used > 0.1, "the program did not notice the phones")
            check(grown < 8 << 20, f"the memory grew by {grown} bytes")
            check(used < 20, f"the program used {used} s of the processor")

        report.scene("our program finds a phone that zeroconf advertises", finds)
        if all_scenes:
            report.scene("ten thousand phones that come and go leave memory flat", stays_small)


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) << 10


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def namespaces_work():
    """Returns the reason why they do not, or None."""
    if os.name != "posix" or os.geteuid() != 0:
        return "it needs root"
    if not shutil.which("ip"):
        return "it needs iproute2"
    name = f"wifi-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return made.stderr.strip() or None if made.returncode else None


def main():
    words = [word for word in sys.argv[1:] if word != "--all"]
    if len(words) != 1:
        sys.exit(__doc__)
    all_scenes = "--all" in sys.argv
    ours = Path(words[0]).resolve(strict=True)
    if why := namespaces_work():
        print(f"not run: {why}")
        return
    install_judges(content=False)

    stage = WORK / "wifi"  # Kept until the next run, for inspection.
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "home").mkdir(parents=True)
    os.environ["HOME"] = str(stage / "home")  # Ignore pair records and settings of earlier runs.
    for name in [name for name in os.environ if name.startswith(("XDG_", "IDEV_BACKUP_"))]:
        del os.environ[name]

    report = Report()
    with Lab() as lab:
        expected = report.scene("idevicebackup2 makes the reference by cable", lambda: reference(ours, stage / "reference"))
        for name, play in (
            ("mac", phone_with_its_mac),
            ("tags", phone_with_tags),
            ("ours", our_program),
            ("ours-tags", our_program_and_tags),
            ("listed", listed_by_a_daemon),
            ("interruptions", interruptions),
            ("blocked", blocked_multicast),
            ("many", many_files),
            ("foreign", foreign_advert),
        ):
            try:
                play(report, lab, ours, stage / name, expected, all_scenes)
            except Failed as why:
                report.scene(f"a simulated phone for {name}", lambda why=why: check(False, why))

    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
