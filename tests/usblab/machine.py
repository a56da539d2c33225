"""Runs a machine under QEMU with a stock Debian kernel, and plugs simulated phones into its USB.

Everything is downloaded and unpacked below target/usblab; nothing is installed.
"""

import gzip
import importlib.util
import lzma
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = HERE.parents[1] / "target" / "usblab"
QEMU = """qemu-system-x86 qemu-system-common qemu-system-data seabios libcapstone4 libdaxctl1 libfdt1 libibverbs1 libndctl6
    libnl-3-200 libnl-route-3-200 libpmem1 librdmacm1 libslirp0 libusbredirparser1 libvdeplug2""".split()
GUEST = """busybox-static usbmuxd libimobiledevice-utils libimobiledevice6 libplist3 libusbmuxd6 libusb-1.0-0 udev""".split()
# The programs of the guest, in addition to busybox and ours.
TOOLS = "usr/sbin/usbmuxd usr/bin/idevice_id usr/bin/ideviceinfo usr/bin/idevicepair usr/bin/idevicebackup2 bin/udevadm".split()
ARCH = "x86_64-linux-gnu"
MODULES = ["xhci-pci", "virtio_pci", "9pnet_virtio", "9p"]
SOCKETS = 2  # The maximum number of phones.
# Limits that end what hangs. They do not judge speed: the machine is emulated, and may share its
# core with other work.
BOOT_SECONDS_MAX = 300
WAIT_SECONDS_MAX = 300
# The program must notice within this time that a phone is gone. It waits longer for a silent phone.
NOTICE_SECONDS_MAX = 60


class Unavailable(Exception):
    """The lab cannot be built here."""


def load(name, file):
    spec = importlib.util.spec_from_file_location(name, HERE.parent / "peers" / file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# tests/peers/run.py, which plays scenes and checks backups. The files beside it import it as `run`.
peers = load("run", "run.py")


def restore_judge():
    """Loads tests/peers/restores.py, which compares the phone's ledger with a backup."""
    try:
        peers.install_judges()
    except (OSError, subprocess.CalledProcessError) as why:
        raise Unavailable(f"the judges of a restore cannot be installed: {why}") from None
    return load("restores", "restores.py")


Failed = peers.Failed


def call(*command, cwd=None, env=None, seconds=300):
    command = [str(word) for word in command]
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired) as why:
        raise Unavailable(f"`{' '.join(command[:4])}`: {why}") from None
    if done.returncode:
        raise Unavailable(f"`{' '.join(command[:4])} ...` ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


# Packages


def kernel_package():
    found = re.search(r"Depends: (linux-image-\S+)", call("apt-cache", "depends", "linux-image-amd64"))
    if not found:
        raise Unavailable("apt does not know which kernel linux-image-amd64 is")
    return found[1]


def fetch():
    """Downloads and unpacks the packages, once, and returns the name of the kernel's package."""
    try:
        kernel = kernel_package()
    except Unavailable:
        call("apt-get", "-q", "update")
        kernel = kernel_package()
    wanted = [*QEMU, *GUEST, kernel]
    stamp = WORK / "unpacked"
    if stamp.exists() and stamp.read_text().split() == wanted:
        return kernel
    for name in ("debs", "host", "guest", "kernel"):
        shutil.rmtree(WORK / name, ignore_errors=True)
        (WORK / name).mkdir(parents=True)
    try:
        call("apt-get", "-q", "download", *wanted, cwd=WORK / "debs", seconds=600)
    except Unavailable:
        # The lists may be older than the archive.
        call("apt-get", "-q", "update")
        call("apt-get", "-q", "download", *wanted, cwd=WORK / "debs", seconds=600)
    for names, folder in ((QEMU, "host"), (GUEST, "guest")):
        for name in names:
            call("dpkg-deb", "-x", next((WORK / "debs").glob(f"{name}_*.deb")), WORK / folder)
    # Of the 400 MB of the kernel's package, unpack only the kernel and the modules that are loaded.
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", next((WORK / "debs").glob(f"{kernel}_*.deb"))], stdout=subprocess.PIPE
    ) as package:  # fmt: skip
        folders = "drivers/usb drivers/virtio fs/9p fs/netfs fs/fscache net/9p".split()
        unpack = ["tar", "-x", "-C", WORK / "kernel", "--wildcards", "./boot/vmlinuz*", "./lib/modules/*/modules.builtin"]
        done = subprocess.run(
            [*unpack, *[f"./lib/modules/*/kernel/{name}" for name in folders]], stdin=package.stdout, capture_output=True, check=False
        )  # fmt: skip
    if done.returncode:
        raise Unavailable(f"the kernel's package cannot be unpacked: {done.stderr.decode(errors='replace')[-300:]}")
    stamp.write_text("\n".join(wanted))
    return kernel


# The kernel and its first files


def vmlinux():
    """Unpacks the kernel from its compressed image, which reduces QEMU's start to a third."""
    target = WORK / "vmlinux"
    image = next((WORK / "kernel" / "boot").glob("vmlinuz*")).read_bytes()
    setup = (image[0x1F1] or 4) + 1
    at = setup * 512 + int.from_bytes(image[0x248:0x24C], "little")
    packed = image[at : at + int.from_bytes(image[0x24C:0x250], "little")]
    try:
        target.write_bytes(lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed))
    except lzma.LZMAError as why:
        raise Unavailable(f"the kernel is not packed by xz: {why}") from None
    return target


def module_files():
    return {file.stem.replace("-", "_"): file for file in (WORK / "kernel" / "lib").rglob("*.ko")}


def kernel_module(name):
    """Returns the file of a module that scenes load on their own."""
    file = module_files().get(name)
    if not file:
        raise Unavailable(f"the kernel's package has no module {name}")
    return file


def modules():
    """Returns the files of MODULES and of their dependencies, in the order of loading."""
    files = module_files()
    order = []

    def add(name):
        name = name.replace("-", "_")
        if name not in files or files[name] in order:
            return  # Built into the kernel, or added already.
        for entry in files[name].read_bytes().split(b"\0"):
            if entry.startswith(b"depends=") and len(entry) > 8:
                for needed in entry[8:].decode().split(","):
                    add(needed)
        order.append(files[name])

    for name in MODULES:
        add(name)
    return order


def library_folders(prefix):
    return ":".join(str(folder) for folder in (WORK / prefix).rglob(ARCH) if folder.is_dir())


def libraries(*programs):
    """Returns {name: file} of the shared libraries that programs need.

    Libraries that were unpacked for the guest take precedence.
    """
    found = {}
    env = {**os.environ, "LD_LIBRARY_PATH": library_folders("guest")}
    for program in programs:
        said = call("ldd", program, env=env)
        if "not found" in said:
            raise Unavailable(f"{program} lacks a library: {said}")
        for path in re.findall(r"(/\S+) \(0x", said):
            found[path] = Path(path)
    return found


class Archive:
    """A newc archive, which the kernel unpacks into its first file system."""

    def __init__(self):
        self.parts, self.seen, self.number = [], set(), 0

    def entry(self, name, mode, data=b"", major=0, minor=0):
        self.number += 1
        fields = [self.number, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def folder(self, name):
        if name and name not in self.seen:
            self.folder(name.rpartition("/")[0])
            self.seen.add(name)
            self.entry(name, 0o40755)

    def file(self, name, data, mode=0o755):
        self.folder(name.rpartition("/")[0])
        self.entry(name, 0o100000 | mode, data)

    def link(self, name, target):
        self.folder(name.rpartition("/")[0])
        self.entry(name, 0o120777, target.encode())

    def packed(self):
        self.entry("TRAILER!!!", 0)
        return b"".join(self.parts)


INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /tmp /run /var/lib/lockdown
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
ln -s /run /var/run
export PATH=/bin:/usr/bin:/usr/sbin HOME=/root TZ=UTC0 LANG=C.UTF-8
for module in /modules/*.ko; do insmod "$module" || echo "@insmod $module"; done
ifconfig lo 127.0.0.1 up
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 lab /lab || echo '@no lab'
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,ro program /program || echo '@no program'
stty -F /dev/ttyS1 raw -echo
exec 3<>/dev/ttyS1
echo ready >&3
while read -r number <&3; do
  (
    exec 3>&-
    sh "/lab/calls/$number.sh" >"/lab/calls/$number.out" 2>&1 </dev/null
    echo $? >"/lab/calls/$number.code.partial"
    mv "/lab/calls/$number.code.partial" "/lab/calls/$number.code"
  ) &
done
poweroff -f
"""
PASSWD = "root:x:0:0::/root:/bin/sh\nusbmux:x:101:46::/var/lib/usbmux:/bin/sh\nguest:x:1000:1000::/tmp:/bin/sh\n"
GROUP = "root:x:0:\nplugdev:x:46:\nguest:x:1000:\n" + "".join(
    f"{name}:x:{200 + at}:\n" for at, name in enumerate("tty disk audio video input kvm render sgx dialout lp cdrom tape kmem".split())
)


def initramfs(program):
    """Packs the first file system: busybox, the tools, and the libraries of all programs."""
    guest = WORK / "guest"
    archive = Archive()
    for name in "proc sys dev lab program root usr/sbin usr/bin etc var/lib".split():
        archive.folder(name)
    archive.file("init", INIT.encode())
    archive.file("etc/passwd", PASSWD.encode(), 0o644)
    archive.file("etc/group", GROUP.encode(), 0o644)
    archive.file("bin/busybox", (guest / "bin" / "busybox").read_bytes())
    for tool in TOOLS:
        archive.file(tool, (guest / tool).read_bytes())
    archive.file("lib/systemd/systemd-udevd", (guest / "bin" / "udevadm").read_bytes())
    for rules in ("50-udev-default.rules", "39-usbmuxd.rules"):
        archive.file(f"lib/udev/rules.d/{rules}", (guest / "lib" / "udev" / "rules.d" / rules).read_bytes(), 0o644)
    for name, file in libraries(program, *[guest / tool for tool in TOOLS]).items():
        inside = f"usr/lib/{ARCH}/{Path(name).name}" if name.startswith(str(WORK)) else name.lstrip("/")
        if inside not in archive.seen:
            archive.seen.add(inside)
            archive.file(inside, file.resolve().read_bytes())
    for at, module in enumerate(modules()):
        archive.file(f"modules/{at:02}-{module.name}", module.read_bytes(), 0o644)
    target = WORK / "initramfs"
    target.write_bytes(gzip.compress(archive.packed(), 1))
    return target


# The machine


class Machine:
    """The running machine. `run` runs a script in it; `plug` puts a phone on its bus."""

    def __init__(self, program):
        fetch()
        self.program = program
        self.kernel, self.files = vmlinux(), initramfs(program)
        self.lab = WORK / "lab"
        shutil.rmtree(self.lab, ignore_errors=True)
        (self.lab / "calls").mkdir(parents=True)
        self.sockets = tempfile.TemporaryDirectory(prefix="usblab-")  # Socket paths must be short.
        self.number = 0
        self.process = None

    def socket(self, name):
        return Path(self.sockets.name) / name

    def __enter__(self):
        host = WORK / "host" / "usr"
        env = {**os.environ, "LD_LIBRARY_PATH": library_folders("host"), "QEMU_MODULE_DIR": str(host / "lib" / ARCH / "qemu")}
        share = "local,security_model=none,path={},mount_tag={}"
        command = [
            host / "bin" / "qemu-system-x86_64", "-L", host / "share" / "qemu", "-L", host / "share" / "seabios",
            # Emulate, because /dev/kvm may exist and not work.
            "-accel", "tcg", "-M", "pc", "-cpu", "max", "-smp", "1", "-m", "1024", "-display", "none", "-nodefaults", "-no-reboot",
            "-kernel", self.kernel, "-initrd", self.files, "-append", "console=ttyS0 quiet panic=-1 loglevel=4",
            "-serial", f"file:{WORK / 'console.log'}", "-serial", f"unix:{self.socket('agent')},server=on,wait=off",
            "-virtfs", share.format(self.lab, "lab"), "-virtfs", share.format(self.program.parent, "program") + ",readonly=on",
            "-device", "qemu-xhci,id=xhci",
        ]  # fmt: skip
        for at in range(SOCKETS):
            command += ["-chardev", f"socket,id=c{at},path={self.socket(f'usb{at}')},server=on,wait=off"]
            command += ["-device", f"usb-redir,chardev=c{at},bus=xhci.0"]
        self.log = open(WORK / "qemu.log", "wb")
        self.process = subprocess.Popen(
            [str(word) for word in command], env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT
        )
        self.deadline = time.monotonic() + BOOT_SECONDS_MAX
        self.agent = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.agent.connect(str(self.socket("agent")))
                break
            except OSError:
                self.alive("start")
                time.sleep(0.05)
        self.agent.settimeout(1)
        said = b""
        while b"ready\n" not in said:
            self.alive("boot")
            try:
                said += self.agent.recv(100)
            except TimeoutError:
                pass
        return self

    def alive(self, what):
        if self.process.poll() is not None or time.monotonic() > self.deadline:
            words = (WORK / "qemu.log").read_text(errors="replace")[-600:]
            console = WORK / "console.log"
            words += console.read_text(errors="replace")[-1500:] if console.exists() else ""
            self.stop()
            raise Unavailable(f"the machine does not {what}: {words}")

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_):
        self.agent.close()
        self.stop()
        self.log.close()
        self.sockets.cleanup()

    def start(self, script, user=None):
        """Starts a script in the machine; `Call.wait` waits for it."""
        self.number += 1
        calls = self.lab / "calls"
        if user:
            (calls / f"{self.number}-inner.sh").write_text(script)
            script = f"exec su {user} -c 'sh /lab/calls/{self.number}-inner.sh'"
        (calls / f"{self.number}.sh").write_text(script + "\n")
        self.agent.sendall(f"{self.number}\n".encode())
        return Call(self, self.number, script)

    def run(self, script, *, code=0, user=None):
        """Runs a script, and returns what it prints.

        Fails the scene if the exit code is not `code`; None accepts every code.
        """
        self.last = self.start(script, user)
        return self.last.wait(code)

    def fetched(self, folder):
        """Copies a folder of the machine to the host, and returns its path there.

        The files are passed in one archive, because passing them one by one takes a minute.
        """
        target = self.lab / folder.rpartition("/")[2]
        shutil.rmtree(target, ignore_errors=True)
        self.run(f"tar -c -f /lab/packed.tar -C {folder} .")
        target.mkdir()
        call("tar", "-x", "-f", self.lab / "packed.tar", "-C", target)
        return target

    def plug(self, at, *flags):
        return Phone(self, at, flags)


class Call:
    """A script that runs in the machine."""

    def __init__(self, machine, number, script):
        self.machine, self.script = machine, script
        self.out = machine.lab / "calls" / f"{number}.out"
        self.code_file = machine.lab / "calls" / f"{number}.code"

    def said(self):
        return self.out.read_text(errors="replace") if self.out.exists() else ""

    def ended(self):
        return self.code_file.exists()

    def wait(self, code=0, seconds=WAIT_SECONDS_MAX):
        deadline = time.monotonic() + seconds
        while not self.ended():
            if self.machine.process.poll() is not None:
                raise Failed("the machine is gone")
            if time.monotonic() > deadline:
                raise Failed(self.words(f"did not end within {seconds} s"))
            time.sleep(0.02)
        self.code = int(self.code_file.read_text())
        if code is not None and self.code != code:
            raise Failed(self.words(f"ended with {self.code}, not {code}"))
        return self.said()

    def words(self, what):
        return "\n    ".join([f"`{self.script.strip()[-200:]}` {what}", *self.said().strip().splitlines()[-12:]])


class Phone:
    """A simulated phone on the machine's USB, in its own process, whose end unplugs it."""

    def __init__(self, machine, at, flags):
        self.machine = machine
        udid = flags[flags.index("--udid") + 1] if "--udid" in flags else "00008130-001A2B3C4D5E6F70"
        self.serial = udid.replace("-", "")
        self.log = WORK / f"phone-{machine.number}-{at}.log"
        command = [machine.program, "simulate", "--usbredir", f"UNIX:{machine.socket(f'usb{at}')}", *flags]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, text=True
            )

    def __enter__(self):
        self.settled()
        return self

    def settled(self):
        """Waits until the machine's kernel and udev have set up the phone."""
        found = f"grep -qs {self.serial} /sys/bus/usb/devices/*/serial"
        self.machine.run(f"until {found}; do usleep 20000; done; udevadm settle")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def says(self):
        return self.log.read_text(errors="replace")

    def told(self, line, times=1):
        """Waits until the phone has printed `line` at least `times` times."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while self.says().count(line) < times:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the phone did not say {line!r}: {self.says().strip()[-600:]}")
            time.sleep(0.02)

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def counts(self):
        """Returns {name: number} of the traffic since the last call."""
        asked = self.says().count("usb: in ")
        self.command("counts")
        self.told("missteps ", asked + 1)
        last = [line for line in self.says().splitlines() if line.startswith("usb: in ")][-1]
        numbers = [int(number) for number in re.findall(r"\d+", last)]
        return dict(zip(("transfers_in", "bytes_in", "transfers_out", "bytes_out", "waiting", "missteps"), numbers, strict=True))

    def missteps(self):
        return [line for line in self.says().splitlines() if line.startswith("usb: misstep")]
