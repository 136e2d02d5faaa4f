"""A headless Chromium, spoken to over its DevTools protocol: open a page, ask it something, take its picture."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)  # fmt: skip
COMPLAINTS = ("Log.entryAdded", "Runtime.exceptionThrown", "Network.loadingFailed")


def found() -> str | None:
    """Path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One tab of one Chromium; what pages complain of (console errors, exceptions, requests that failed) gathers in `complaints`."""

    session: str | None = None  # of the tab, once there is one
    socket: websocket.WebSocket | None = None

    def __init__(self, seconds: float = 20.0):
        self.profile = tempfile.TemporaryDirectory(prefix="asgd-browser-", ignore_cleanup_errors=True)
        self.log = Path(self.profile.name, "log").open("w+")
        command = [found(), *FLAGS, f"--user-data-dir={self.profile.name}/profile", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.log)
        self.complaints: list[str] = []
        self.number, self.loaded = 0, 0
        try:
            port = self._port(time.monotonic() + seconds)
            self.socket = websocket.create_connection(f"ws://127.0.0.1:{port[0]}{port[1]}", timeout=seconds)
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def _port(self, until: float) -> tuple[str, str]:
        while time.monotonic() < until:
            text = Path(self.log.name).read_text(errors="replace")
            if listening := re.search(r"ws://[\d.]+:(\d+)(/\S+)", text):
                return listening[1], listening[2]
            assert self.process.poll() is None, f"Chromium ended with code {self.process.returncode}: {text[-500:]}"
            time.sleep(0.05)
        raise TimeoutError("Chromium did not say where it listens.")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and wait for its answer; events on the way are noted."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.socket.send(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        name, details = event.get("method"), event.get("params", {})
        self.loaded += name == "Page.loadEventFired"
        if name == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning", "assert"):
            self.complaints.append(f"console.{details['type']}: {[a.get('value', a.get('description')) for a in details['args']]}")
        elif name in COMPLAINTS and details.get("entry", {}).get("level") != "verbose" and not details.get("canceled"):
            self.complaints.append(f"{name}: {json.dumps(details)[:400]}")

    def open(self, address: str) -> None:
        """Load a page and wait until it is there."""
        before = self.loaded
        answer = self.call("Page.navigate", url=address)
        assert "errorText" not in answer, f"{address}: {answer['errorText']}"
        while self.loaded == before and "loaderId" in answer:  # none: the same page at another anchor
            self._note(json.loads(self.socket.recv()))

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; promises are waited for."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def look(self, width: int, height: int, dark: bool = False) -> None:
        """Size of the window in CSS pixels, and the colours that the reader's system asks for."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Save what the window shows as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        if self.socket:
            self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.profile.cleanup()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
