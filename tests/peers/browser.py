#!/usr/bin/env python3
"""Judges the pages of `open` with Chromium: every page at 360 and 1,280 px, in dark and light, with
the keyboard, and with axe-core, which looks for what hinders people with a screen reader. It acts:
it makes, follows and cancels a backup, checks and deletes. Pages of other origins attack. The
simulated phone has scripts in names, texts and files; none may run.

    python3 tests/peers/browser.py target/release/idev-backup [--all]

Needs Chromium, and npm for axe-core (a fixed version, below target/peers/axe). `--all` visits more
pages of each kind. The screenshots stay in target/peers/browser/shots.
"""

import base64
import filecmp
import http.server
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from run import WORK, Phone, Report, check, run

WIDTHS = (360, 1280)
PORT = 9333
# Pages of each kind that are visited: a phone has thousands of files.
EACH_MAX = 5
EACH_MAX_ALL = 12
AXE = "axe-core@4.14.1"
# Rules of axe-core that mean a fault, by its own judgement.
SERIOUS = ("serious", "critical")
# Seconds after which the simulated owner enters the passcode.
PASSCODE = 3
# Names that another site could give to this computer's own address.
FOREIGN = "evil.example"


class Tools:
    """Chromium's DevTools protocol, over a WebSocket (RFC 6455) of our own."""

    def __init__(self, chromium, folder):
        self.process = subprocess.Popen(
            [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--remote-debugging-port={PORT}",
             f"--user-data-dir={folder}",
             f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
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
        data = text.encode()
        length = len(data)
        if length < 126:
            size = bytes([0x80 | length])
        elif length < 1 << 16:
            size = b"\xfe" + struct.pack(">H", length)
        else:
            size = b"\xff" + struct.pack(">Q", length)
        # The mask protects proxies, and this connection has no proxy: with zeros it changes nothing.
        self.socket.sendall(b"\x81" + size + bytes(4) + data)

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
        self.load(address)
        for event in self.events:
            is_bad = event["method"] in ("Log.entryAdded", "Page.javascriptDialogOpening", "Runtime.consoleAPICalled")
            check(not is_bad, f"{address}: {event}")

    def load(self, address):
        """Opens a page, whatever it is."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.loaded()

    def loaded(self):
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())

    def press(self, selector):
        """Presses Enter on an element that has the focus, and waits for the page that follows."""
        check(self.value(f"(e => e && (e.focus(), document.activeElement === e))(document.querySelector({json.dumps(selector)}))"),
              f"{selector} takes no focus")  # fmt: skip
        self.events.clear()
        self.key("Enter")
        self.loaded()

    def value(self, script):
        """Returns the value of a script, also of one that waits."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        check("exceptionDetails" not in answer, f"{script[:80]}: {answer.get('exceptionDetails')}")
        return answer["result"].get("value")

    def wait_for(self, words, seconds=60):
        """Waits until the page says something, without loading it again."""
        deadline = time.monotonic() + seconds
        while words not in (text := self.value("document.body.innerText")):
            check(time.monotonic() < deadline, f"no {words!r} in {text!r}")
            time.sleep(0.05)

    def list(self, script):
        return json.loads(self.value(f"JSON.stringify({script})"))

    def shot(self, file):
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def key(self, name):
        code = {"Tab": 9, "Enter": 13}[name]
        text = {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **text)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=20)


def kind_of(address):
    """Returns the kind of a page: its address without what differs between pages of a kind."""
    parts = address.split("?")[0].split("/")[4:]
    return "/".join("N" if part.isdigit() or len(part) >= 24 else part for part in parts)


def axe():
    """Returns the source of axe-core."""
    folder = WORK / "axe"
    file = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        run("npm", "install", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix", folder, AXE)
    return file.read_text()


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """A server of another origin. It notes the cookies that it receives."""

    cookies = []

    def do_GET(self):
        Elsewhere.cookies.append(self.headers.get("Cookie", ""))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body>elsewhere</body>")

    def log_message(self, *_):
        pass


# What a page of another origin tries. Each attack returns "" if it failed, as it should.
ATTACKS = """
(async (home, file) => {
  const wait = (event) => new Promise((done) => { event(done); setTimeout(() => done("silence"), 3000); });
  const found = {};
  const read = async (options) => { try { const answer = await fetch(home, options); return await answer.text(); } catch { return ""; } };
  found.fetch = await read({ credentials: "include" });
  found.opaque = await read({ credentials: "include", mode: "no-cors" });
  found.post = await read({ method: "POST", body: "value=yes", credentials: "include", mode: "no-cors",
    headers: { "Content-Type": "application/x-www-form-urlencoded" } });
  found.method = await read({ method: "DELETE", credentials: "include" });
  found.script = await wait((done) => { const e = document.createElement("script"); e.src = file;
    e.onload = () => done("loaded"); e.onerror = () => done(""); document.body.append(e); });
  found.picture = await wait((done) => { const e = new Image(); e.src = home + "icon.svg";
    e.onload = () => done("loaded"); e.onerror = () => done(""); });
  found.events = await wait((done) => { const e = new EventSource(home + "live", { withCredentials: true });
    e.onmessage = () => done("message"); e.onerror = () => { e.close(); done(""); }; });
  found.frame = await wait((done) => { const e = document.createElement("iframe"); e.src = home;
    e.onload = () => { try { done(e.contentWindow.document.body.innerText); } catch { done(""); } }; document.body.append(e); });
  found.socket = await wait((done) => { const e = new WebSocket(home.replace("http", "ws"));
    e.onopen = () => done("open"); e.onerror = () => done(""); });
  return found;
})(%s, %s)
"""

# What a script in one of our pages could try, if there were one: the policy must stop it.
INSIDE = """
(async (file) => {
  const wait = (event) => new Promise((done) => { event(done); setTimeout(() => done("silence"), 3000); });
  const found = {};
  const add = (set) => { const e = document.createElement("script"); set(e); document.body.append(e); return e; };
  window.ran = 0;
  add((e) => { e.textContent = "window.ran = 1"; });
  found.inline = String(window.ran || "");
  const other = document.createElement("p");
  other.innerHTML = "<img src=x onerror='window.ran = 2'><a href='javascript:window.ran = 3' id=js>x</a>";
  document.body.append(other);
  document.getElementById("js").click();
  found.file = await wait((done) => add((e) => { e.src = file; e.onload = () => done("loaded"); e.onerror = () => done(""); }));
  found.style = await wait((done) => { const e = document.createElement("style"); e.textContent = "h1 { color: rgb(1, 2, 3) }";
    document.head.append(e); done(getComputedStyle(document.querySelector("h1")).color === "rgb(1, 2, 3)" ? "styled" : ""); });
  found.elsewhere = await fetch("http://evil.example/").then(() => "sent", () => "");
  found.handler = String(window.ran || "");
  found.cookie = document.cookie;
  return found;
})(%s)
"""


class Judge:
    """The scenes, in their order."""

    def __init__(self, ours, stage, tools, link, each_max):
        self.ours, self.stage, self.tools, self.link, self.each_max = ours, stage, tools, link, each_max
        self.seen = {}

    @property
    def home(self):
        return self.seen[""][0]

    def visits(self):
        tools = self.tools
        tools.go(self.link)
        home = tools.value("location.href")
        known, waiting, seen = {home}, [home], self.seen
        while waiting:
            address = waiting.pop(0)
            tools.go(address)
            seen.setdefault(kind_of(address), []).append(address)
            check(tools.value("document.querySelector('h1') !== null"), f"{address} has no heading")
            foreign = tools.value("[...document.scripts].filter(s => !s.src.endsWith('/live.js')).length")
            check(foreign == 0, f"{address} has a script")
            nameless = tools.list("[...document.querySelectorAll('img:not([alt]), input:not([id]):not([type=hidden]), a:empty')].map(a => a.outerHTML)")
            check(not nameless, f"{address}: {nameless}")
            for to in tools.list("[...document.querySelectorAll('a[href]')].map(a => a.href)"):
                to = to.split("#")[0]
                is_page = to.startswith(home) and "/download/" not in to and "/raw/" not in to
                if is_page and to not in known and sum(kind_of(other) == kind_of(to) for other in known) < self.each_max:
                    known.add(to)
                    waiting.append(to)
        check(len(seen) >= 12, f"only these kinds of pages: {sorted(seen)}")

    def acts(self):
        """Makes a backup with the keyboard, follows it without loading the page, and checks it."""
        tools = self.tools
        tools.look(360, "light")
        tools.go(self.home)
        tools.wait_for("Back up now")
        tools.press("[data-live] form[action$=back-up] button")
        check("/job/" in tools.value("location.href"), "no job began")
        self.seen["job"] = [tools.value("location.href")]
        tools.value("window.before = true")
        tools.wait_for("Enter the passcode on the phone")
        tools.shot(self.stage / "shots" / "job-waiting-360-light.png")
        check("passcode" in tools.value("document.getElementById('said').textContent"), "a screen reader hears nothing")
        tools.wait_for("Done in ")
        check(tools.value("window.before"), "the page loaded itself again")
        tools.press("header nav a:nth-of-type(1)")
        tools.go(self.home)
        tools.wait_for("Backup: Mira's iPhone")
        tools.press("ul.cards a[href*='/phone/']")
        tools.press("a[href$='/manage']")
        tools.press("form[action$='/verify'] button")
        tools.wait_for("WHOLE.")

    def cancels(self):
        tools = self.tools
        tools.go(self.home)
        tools.wait_for("Back up now")
        tools.press("[data-live] form[action$=back-up] button")
        tools.wait_for("Enter the passcode on the phone")
        tools.press("form[action$=cancel] button")
        tools.wait_for("Cancelled.")

    def deletes(self):
        tools = self.tools
        tools.go(self.home)
        tools.press("ul.cards a[href*='/phone/']")
        before = tools.value("document.querySelectorAll('ol.timeline li').length")
        tools.press("ol.timeline li:last-child a[href$='/manage']")
        tools.press("a[href$='/delete']")
        for word, words in (("no", "another word"), ("yes", "was deleted.")):
            tools.value("document.getElementById('answer').focus()")
            tools.type(word)
            tools.press("form[action$='/delete'] button")
            tools.wait_for(words)
        tools.press("ol.path li:last-child a")
        after = tools.value("document.querySelectorAll('ol.timeline li').length")
        check(after == before - 1, f"{before} backups became {after}")

    def without_scripts(self):
        """Follows a job in a browser that runs no scripts: the page loads itself again."""
        tools = self.tools
        tools.go(self.home)
        tools.wait_for("Back up now")
        tools.press("[data-live] form[action$=back-up] button")
        job = tools.value("location.href")
        tools.call("Emulation.setScriptExecutionDisabled", value=True)
        try:
            tools.load(job)
            tools.events.clear()
            tools.loaded()
            deadline = time.monotonic() + 60
            while "Done in " not in self.source():
                check(time.monotonic() < deadline, "the page does not show the end")
                tools.events.clear()
                tools.loaded()
        finally:
            tools.call("Emulation.setScriptExecutionDisabled", value=False)

    def source(self):
        root = self.tools.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        return self.tools.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]

    def fits(self):
        tools, source = self.tools, axe()
        for kind, addresses in self.seen.items():
            for width in WIDTHS:
                for scheme in ("light", "dark"):
                    tools.look(width, scheme)
                    tools.go(addresses[-1])
                    wide = tools.value("document.documentElement.scrollWidth")
                    check(wide <= width, f"{addresses[-1]} is {wide} px wide on {width} px")
                    tools.shot(self.stage / "shots" / f"{kind.replace('/', '_') or 'home'}-{width}-{scheme}.png")
                    tools.value(f"(() => {{ {source} }})()")
                    passed, found = tools.value(
                        "(async () => { const found = await axe.run(); return [found.passes.length, found.violations.map("
                        "v => [v.impact, v.id, v.nodes.map(n => n.target.join(' ') + ': ' + n.failureSummary).slice(0, 3)])]; })()"
                    )
                    check(passed > 5, f"axe-core looked for {passed} faults only")
                    faults = [fault for fault in found if fault[0] in SERIOUS]
                    check(not faults, f"{addresses[-1]} at {width} px, {scheme}: {faults}")

    def by_keyboard(self):
        """Reaches every link, button and field of each kind of page with Tab alone."""
        tools = self.tools
        tools.look(1280, "light")
        for kind, addresses in self.seen.items():
            tools.go(addresses[-1])
            stops = "a[href], button, input:not([type=hidden]), summary, video, audio, [tabindex='0']"
            count = tools.value(f"[...document.querySelectorAll({json.dumps(stops)})].filter(e => e.checkVisibility()).length")
            tools.value("window.reached = new Set()")
            # A field for a time, a video and a sound have stops of their own, and show the focus there.
            inside = 8 * tools.value("document.querySelectorAll('audio, video, input[type=time]').length")
            for _ in range(min(count, 40) + inside):
                tools.key("Tab")
                outline = tools.value(
                    "(e => { reached.add(e); return e === document.body || e.matches('audio, video, [type=time]') ? 'body' : getComputedStyle(e).outlineStyle; })(document.activeElement)"
                )
                check(outline in ("solid", "auto", "body"), f"{addresses[-1]}: the focus is shown as {outline}")
            reached = tools.value("reached.size")
            check(reached >= min(count, 40) - 1, f"{addresses[-1]}: Tab reaches {reached} of {count}")

    def attacked(self):
        """Attacks from a page of another origin, and from one of another name of this computer."""
        tools = self.tools
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        file = next(a for a in self.seen["b/N/file/N"]).replace("/file/", "/download/")
        try:
            for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"{FOREIGN}:{port}"):
                tools.load(f"http://{host}/")
                attacks = ATTACKS % (json.dumps(self.home), json.dumps(file))
                found = tools.value(attacks)
                check(len(found) == 9 and not any(found.values()), f"from {host}: {found}")
            check(not any("idev_backup" in cookie for cookie in Elsewhere.cookies), "another server received the cookie")
            # A form needs no permission to be sent, and takes the browser to the answer.
            tools.load(f"http://{FOREIGN}:{port}/")
            action = json.dumps(f"{self.home}phone/x/back-up")
            tools.events.clear()
            tools.value(f"(f => {{ f.method = 'post'; f.action = {action}; document.body.append(f); f.submit(); }})(document.createElement('form'))")
            tools.loaded()
            check("Refused" in tools.value("document.body.innerText"), "a form of another page is taken")
            rebound = self.home.replace("127.0.0.1", FOREIGN)
            tools.load(rebound)
            text = tools.value("document.body.innerText")
            check("Refused" in text and "Mira" not in text, f"another name of this computer works: {text}")
        finally:
            server.shutdown()

    def contained(self):
        """Runs in our own pages what a script could try that came in with a backup."""
        tools = self.tools
        file = next(a for a in self.seen["b/N/file/N"]).replace("/file/", "/download/")
        for page in (self.home, self.seen["b/N"][0]):
            tools.load(page)
            found = tools.value(INSIDE % json.dumps(file))
            check(len(found) == 6 and not any(found.values()), f"{page}: {found}")
        tools.load("about:blank")


def ranges(ours, stage):
    """Fetches a video of 2 GB with curl, whole and in ranges that begin anywhere."""
    folder = stage / "large"
    folder.mkdir()
    phone = Phone(ours, folder)
    phone.command = [ours, "simulate", "--files", "20", "--bulk", "1x2G", "--messages", "0"]
    store = folder / "store"
    with phone:
        run(ours, "create", "--new-store", "--store", store)
    server = subprocess.Popen([ours, "open", "--no-browser", "--store", store], stdout=subprocess.PIPE, text=True)
    try:
        link = server.stdout.readline().strip()
        jar = folder / "jar"
        run("curl", "-sS", "-c", jar, "-o", folder / "start", link)
        base = re.search(r"\s(/\w+)/\s", jar.read_text())[1]
        origin = link.split("/start")[0]
        page = run("curl", "-sS", "-b", jar, f"{origin}{base}/")
        backup = min(re.findall(r'href="([^"#]*/b/[^"#]*)"', page), key=len)
        file = max(store.glob("*/[0-9a-f][0-9a-f]/*"), key=lambda file: file.stat().st_size)
        size = file.stat().st_size
        address, fetched = f"{origin}{backup}/download/{file.name}", folder / "fetched"
        started = time.monotonic()
        run("curl", "-sS", "-f", "-b", jar, "-o", fetched, address)
        seconds = time.monotonic() - started
        check(filecmp.cmp(file, fetched, shallow=False), "the whole file differs")
        fetched.unlink()
        ends = [0, 1, 12345, size // 3, size - 7, size]
        for start, end in zip(ends, ends[1:]):
            part = folder / "part"
            run("curl", "-sS", "-f", "-b", jar, "-r", f"{start}-{end - 1}", "-o", part, address)
            with open(fetched, "ab") as whole, open(part, "rb") as more:
                shutil.copyfileobj(more, whole, 1 << 20)
        check(filecmp.cmp(file, fetched, shallow=False), "the ranges do not make the file")
        print(f"   {size / seconds / 1e6:.0f} MB/s")
    finally:
        server.terminate()
        server.wait(timeout=60)
        shutil.rmtree(folder)


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--all"]):
        sys.exit(__doc__)
    ours = Path(sys.argv[1]).resolve(strict=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    stage = WORK / "browser"
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "shots").mkdir(parents=True)
    os.environ.update(HOME=str(stage), IDEV_BACKUP_STORE=str(stage / "store"))
    report = Report()
    with Phone(ours, stage, "--passcode", f"after:{PASSCODE}"):
        run(ours, "create", "--new-store")
        server = subprocess.Popen([ours, "open", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        link = server.stdout.readline().strip()
        tools = Tools(chromium, stage / "profile")
        judge = Judge(ours, stage, tools, link, EACH_MAX_ALL if "--all" in sys.argv else EACH_MAX)
        try:
            report.scene("every page opens, and no script of a phone runs", judge.visits)
            if judge.seen:
                report.scene("a backup is made and checked", judge.acts)
                report.scene("a backup is cancelled", judge.cancels)
                report.scene("a job is followed without scripts", judge.without_scripts)
                report.scene("pages fit, in dark and light, and axe-core finds no serious fault", judge.fits)
                report.scene("the keyboard reaches everything", judge.by_keyboard)
                report.scene("pages of other origins are refused", judge.attacked)
                report.scene("the policy stops scripts in our own pages", judge.contained)
                report.scene("a backup is deleted", judge.deletes)
        finally:
            tools.end()
            server.terminate()
            server.wait(timeout=60)
    if "--all" in sys.argv:
        report.scene("curl fetches a large video in ranges", lambda: ranges(ours, stage))
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
