"""A headless Chromium that tests can drive, if there is one on the machine."""

import json
import os
import select
import shutil
import subprocess
import sys
import time

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Frames in the process of their page, so that one session sees them all.
    "--disable-features=IsolateSandboxedIframes",
    "--remote-debugging-pipe",
)

# Puts two descriptors at 3 and 4, whatever stands there, and becomes the browser.
LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for place, end in zip((3, 4), ends):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""
READY = "document.documentElement?.dataset.ready === 'true'"


class Browser:
    """One headless Chromium, spoken to with the DevTools protocol through two pipes.

    Messages are JSON, each ended by a zero byte; the browser reads them from file
    descriptor 3 and writes to 4.
    """

    def __init__(self, program, folder):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(to_browser), str(from_browser)]
            + [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._count = 0
        self._session = None
        self.events = []

    def start(self):
        """Takes hold of the browser's page, and listens to what it says."""
        targets = self.send("Target.getTargets")["targetInfos"]
        target = next(target for target in targets if target["type"] == "page")
        self._session = self.send(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self):
        os.close(self._out)  # the browser leaves when its pipe closes
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def send(self, method, **params):
        """Calls a method of the protocol and returns its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _read(self, seconds=30):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], seconds)
            part = os.read(self._in, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError("The browser does not answer.")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def evaluate(self, expression, frame=None):
        """The value of an expression in the page, or in one of its frames."""
        where = {} if frame is None else {"contextId": frame}
        answer = self.send(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            **where,
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def wait_for(self, expression, seconds=20, frame=None):
        """Waits until an expression is true in the page, or in one of its frames."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression, frame):
            if time.monotonic() > end:
                raise RuntimeError(f"Never true in the page: {expression}")
            time.sleep(0.05)

    def open(self, path, ready=READY):
        """Opens a file and waits until it is drawn."""
        self.send("Page.navigate", url="about:blank")
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=0, y=0)
        self.events.clear()
        self.send("Page.navigate", url=path.as_uri())
        self.wait_for(ready)

    def frames(self):
        """The frames inside the page, for `evaluate`, in the order of the page."""
        self.evaluate("1")
        found = {}
        for event in self.events:
            if event["method"] == "Runtime.executionContextCreated":
                context = event["params"]["context"]
                found[context["auxData"]["frameId"]] = context["id"]
        tree = self.send("Page.getFrameTree")["frameTree"]
        return [found[child["frame"]["id"]] for child in tree.get("childFrames", [])]

    def show(self, width=1100, height=700, theme="light"):
        """Sets the size of the window and the theme that the page is told."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": theme}],
        )

    def point_at(self, expression, frame=None, left_top=(0, 0)):
        """Moves the mouse to the middle of an element, in a frame that starts there."""
        x, y = self.evaluate(
            f"(({expression}).scrollIntoView({{block: 'nearest'}}),"
            f" (box => [box.x + box.width / 2, box.y + box.height / 2])"
            f"(({expression}).getBoundingClientRect()))",
            frame,
        )
        left, top = left_top
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=left + x, y=top + y)

    def press(self, key):
        """Presses a key."""
        code = {"Tab": 9, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38}
        code |= {"ArrowRight": 39, "ArrowDown": 40, "Escape": 27, "m": 77}
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code[key],
            )

    def screenshot(self):
        """The window as a PNG in base64."""
        return self.send("Page.captureScreenshot")["data"]

    def complaints(self):
        """Errors and warnings of the console, and requests beyond files and data."""
        self.evaluate("1")  # what the browser had to say has arrived before the answer
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(str(params["args"]))
            elif event["method"] == "Log.entryAdded":
                found.append(params["entry"]["text"])
            elif event["method"] == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "data:", "about:")):
                    found.append(f"request to {url}")
        return found


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser on this machine, looked for: {', '.join(BROWSERS)}")
    browser = Browser(program, tmp_path_factory.mktemp("browser"))
    try:
        browser.start()
        yield browser
    finally:
        browser.close()
