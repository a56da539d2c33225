#!/usr/bin/env python3
"""Judges the pages of `open` with Chromium: every page at 360 and 1,280 px, in dark and light, and
with the keyboard. The simulated phone has scripts in names, texts and files; none may run.

    python3 tests/peers/browser.py target/release/idev-backup

Needs Chromium. The screenshots stay in target/peers/browser/shots.
"""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from run import WORK, Phone, Report, check, run

WIDTHS = (360, 1280)
PORT = 9333
# Pages of each kind that are visited: a phone has thousands of files.
EACH_MAX = 12


class Tools:
    """Chromium's DevTools protocol, over a WebSocket (RFC 6455) of our own."""

    def __init__(self, chromium, folder):
        self.process = subprocess.Popen(
            [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--remote-debugging-port={PORT}",
             f"--user-data-dir={folder}", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        address = self.page().removeprefix("ws://")
        host, path = address.split("/", 1)
        self.socket = socket.create_connection(host.split(":"), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.stream = self.socket.makefile("rb")
        while self.stream.readline().strip():
            pass
        self.number, self.events = 0, []
        for part in ("Page", "Runtime", "Log"):
            self.call(f"{part}.enable")

    def page(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/json", timeout=10) as answer:
                    return next(one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page")
            except (OSError, StopIteration):
                check(time.monotonic() < deadline, "Chromium does not start")
                time.sleep(0.2)

    def send(self, text):
        data, mask, length = text.encode(), os.urandom(4), len(text.encode())
        size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack(">H", length)
        self.socket.sendall(b"\x81" + size + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))

    def receive(self):
        text = b""
        while True:
            first, length = self.stream.read(2)
            if length == 126:
                (length,) = struct.unpack(">H", self.stream.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.stream.read(8))
            text += self.stream.read(length)
            if first & 0x80:
                return json.loads(text)

    def call(self, method, **parameters):
        self.number += 1
        self.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = self.receive()
            if message.get("id") == self.number:
                check("result" in message, f"{method}: {message}")
                return message["result"]
            self.events.append(message)

    def look(self, width, scheme):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def go(self, address):
        """Opens a page, and fails if a script runs, a dialog opens or the browser reports a fault."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())
        for event in self.events:
            is_bad = event["method"] in ("Log.entryAdded", "Page.javascriptDialogOpening", "Runtime.consoleAPICalled")
            check(not is_bad, f"{address}: {event}")

    def value(self, script):
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def list(self, script):
        return json.loads(self.value(f"JSON.stringify({script})"))

    def shot(self, file):
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def key(self, name):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode={"Tab": 9, "Enter": 13}[name])

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=20)


def kind_of(address):
    """Returns the kind of a page: its address without what differs between pages of a kind."""
    parts = address.split("?")[0].split("/")[4:]
    return "/".join("N" if part.isdigit() or len(part) >= 24 else part for part in parts)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    ours = Path(sys.argv[1]).resolve(strict=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    stage = WORK / "browser"
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "shots").mkdir(parents=True)
    os.environ.update(HOME=str(stage), IDEV_BACKUP_STORE=str(stage / "store"))
    with Phone(ours, stage):
        run(ours, "create", "--new-store")
    server = subprocess.Popen([ours, "open", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    link = server.stdout.readline().strip()
    tools = Tools(chromium, stage / "profile")
    report = Report()
    links = "[...document.querySelectorAll('a[href]')].map(a => a.href)"

    def visits():
        tools.go(link)
        home = tools.value("location.href")
        known, waiting, seen = {home}, [home], {}
        while waiting:
            address = waiting.pop(0)
            tools.go(address)
            seen.setdefault(kind_of(address), []).append(address)
            check(tools.value("document.querySelector('h1') !== null"), f"{address} has no heading")
            check(tools.value("document.scripts.length") == 0, f"{address} has a script")
            nameless = tools.list("[...document.querySelectorAll('img:not([alt]), input:not([id]), a:empty')].map(a => a.outerHTML)")
            check(not nameless, f"{address}: {nameless}")
            for to in tools.list(links):
                to = to.split("#")[0]
                is_page = to.startswith(home) and "/download/" not in to and "/raw/" not in to
                if is_page and to not in known and sum(kind_of(other) == kind_of(to) for other in known) < EACH_MAX:
                    known.add(to)
                    waiting.append(to)
        check(len(seen) >= 10, f"only these kinds of pages: {sorted(seen)}")
        return seen

    def fits(seen):
        for kind, addresses in seen.items():
            for width in WIDTHS:
                for scheme in ("light", "dark"):
                    tools.look(width, scheme)
                    tools.go(addresses[-1])
                    wide = tools.value("document.documentElement.scrollWidth")
                    check(wide <= width, f"{addresses[-1]} is {wide} px wide on {width} px")
                    tools.shot(stage / "shots" / f"{kind.replace('/', '_') or 'home'}-{width}-{scheme}.png")

    def by_keyboard(seen):
        tools.go(seen[""][0])
        reached = []
        while not reached or "newest backup" not in reached[-1]:
            check(len(reached) < 30, f"Tab reaches only {reached}")
            tools.key("Tab")
            reached.append(tools.value("document.activeElement.matches('a') ? document.activeElement.textContent : ''"))
        outline = tools.value("getComputedStyle(document.activeElement).outlineStyle")
        check(outline == "solid", f"the focus is shown as {outline}")
        tools.value("document.activeElement.click()")
        time.sleep(1)
        check("/b/" in tools.value("location.href"), "the link does not work")

    seen = report.scene("every page opens, and no script runs", visits)
    if seen:
        report.scene("pages fit, in dark and light", lambda: fits(seen))
        report.scene("the keyboard reaches the links", lambda: by_keyboard(seen))
    tools.end()
    server.terminate()
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
