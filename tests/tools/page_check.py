#!/usr/bin/env python3
"""usage: page_check.py CHROMIUM URL OUT

Opens the monitor's page in a headless Chromium while a run goes on, as a person would, and fails
with a sentence where its own numbers stand still, a line is not drawn, anything is loaded from
elsewhere, a line of the console is an error, or the page is wider than a phone. Writes pictures of
it to OUT: desktop.png, phone.png, dark.png. Speaks the DevTools protocol over two pipes: no module
beyond Python's own is needed.
"""
import base64
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time


class Browser:
    def __init__(self, program, profile):
        theirs_in, self.to = os.pipe()
        self.back, theirs_out = os.pipe()

        def ends():  # of the child: it reads 3 and writes 4
            a, b = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             "--hide-scrollbars", "--force-color-profile=srgb", "--user-data-dir=" + profile, "about:blank"],
            preexec_fn=ends, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.number, self.data, self.events, self.session = 0, b"", [], None

    def message(self, deadline):
        while b"\0" not in self.data:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.back], [], [], left)[0]:
                raise SystemExit("Chromium does not answer")
            more = os.read(self.back, 1 << 20)
            if not more:
                raise SystemExit("Chromium has ended")
            self.data += more
        line, self.data = self.data.split(b"\0", 1)
        return json.loads(line)

    def call(self, method, seconds=60, **params):
        self.number += 1
        m = {"id": self.number, "method": method, "params": params}
        if self.session:
            m["sessionId"] = self.session
        os.write(self.to, json.dumps(m).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self.message(deadline)
            if answer.get("id") != self.number:
                self.events.append(answer)
            elif "error" in answer:
                raise SystemExit(f"{method}: {answer['error']}")
            else:
                return answer["result"]

    def value(self, expression):
        r = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in r:
            raise SystemExit(f"{expression}: {r['exceptionDetails']}")
        return r["result"].get("value")

    def wait(self, expression, what, seconds=60):
        end = time.monotonic() + seconds
        while not self.value(expression):
            if time.monotonic() > end:
                raise SystemExit(f"not within {seconds} s: {what}")
            time.sleep(0.2)

    def picture(self, path, width, height, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.value("draw()")
        time.sleep(0.3)
        wide = self.value("document.documentElement.scrollWidth")
        if wide > width:
            raise SystemExit(f"the page is {wide} wide on a screen of {width}")
        full = self.call("Page.getLayoutMetrics")["cssContentSize"]["height"]
        png = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                        clip={"x": 0, "y": 0, "width": width, "height": full, "scale": 1})
        with open(path, "wb") as f:
            f.write(base64.b64decode(png["data"]))


SAMPLES = "Number(document.querySelector('#tile-samples b').textContent.replace(/[^0-9]/g, ''))"


def check(browser, url, out):
    targets = browser.call("Target.getTargets")["targetInfos"]
    page = next(t["targetId"] for t in targets if t["type"] == "page")
    browser.session = browser.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(domain + ".enable")
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    browser.call("Page.navigate", url=url)
    browser.wait("!!document.querySelector('#tile-samples b') && document.querySelectorAll('tr.live').length > 0",
                 "a run in the page's table")
    before = browser.value(SAMPLES)
    time.sleep(float(os.environ.get("WATCH_SECONDS", "4")))
    after = browser.value(SAMPLES)
    if not 0 < before < after:
        raise SystemExit(f"the samples were {before}, and later {after}")
    print(f"samples {before}, then {after}")
    lines = browser.value("[...document.querySelectorAll('#charts .card')].map(c => [c.querySelector('h2').textContent,"
                          " [...c.querySelectorAll('path.line')].map(p => p.getAttribute('d'))])")
    for title, paths in lines:
        if not any(re.fullmatch(r"M[\d. ]+(L[\d. ]+)+", d) for d in paths):
            raise SystemExit(f"the chart \"{title}\" shows {paths}")
    width = browser.value("[...document.querySelectorAll('.bar')].map(b => [...b.children]"
                          ".reduce((s, c) => s + parseFloat(c.style.width), 0))")
    if not width or any(abs(w - 100) > 0.1 for w in width):
        raise SystemExit(f"the shares of a step add up to {width} percent")
    browser.picture(out + "/desktop.png", 1280, 900)
    browser.picture(out + "/phone.png", 390, 844, phone=True)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.picture(out + "/dark.png", 1280, 900)
    for e in browser.events:
        p = e.get("params", {})
        kind = e.get("method")
        if kind == "Runtime.exceptionThrown" or kind == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning") \
                or kind == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            raise SystemExit(f"the console says {json.dumps(p)[:600]}")
        if kind == "Network.requestWillBeSent" and not p["request"]["url"].startswith((url, "data:")):
            raise SystemExit(f"the page asks {p['request']['url']}")


def main():
    program, url, out = sys.argv[1:]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            check(browser, url, out)
        finally:
            browser.process.kill()
            browser.process.wait()


main()
