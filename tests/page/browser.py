"""A headless Chromium, driven over the WebDriver protocol with nothing but the standard library."""
import base64
import json
import re
import shutil
import subprocess
import tempfile
import urllib.request

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--force-color-profile=srgb", "--hide-scrollbars=false"]


class Browser:
    """with Browser() as browser: its processes and its profile are gone afterwards."""

    def __init__(self, width=1280, height=900, dark=False):
        self.profile = tempfile.mkdtemp(prefix="page-test-")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                       text=True)
        self.session = None
        try:
            self.base = f"http://127.0.0.1:{self._port()}"
            self._start(width, height)
            self.colours(dark)
        except BaseException:
            self.close()
            raise

    def _port(self):
        for line in self.driver.stdout:
            match = re.search(r"started successfully on port (\d+)", line)
            if match:
                return int(match.group(1))
        raise RuntimeError("chromedriver did not start")

    def _start(self, width, height):
        options = {"args": FLAGS + [f"--user-data-dir={self.profile}", f"--window-size={width},{height}", "about:blank"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options,
                  "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        self.size(width, height)

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method,
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def _in_session(self, method, path, body=None):
        return self._call(method, f"/session/{self.session}{path}", body)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        if self.session:
            try:
                self._in_session("DELETE", "")
            except (OSError, RuntimeError):
                pass
            self.session = None
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    # ---- pages ----

    def open(self, path):
        self.console()
        self.requests()
        self._in_session("POST", "/url", {"url": "file://" + path})

    def cdp(self, command, **parameters):
        return self._in_session("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def size(self, width, height, scale=1):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                 mobile=False)

    def colours(self, dark, media=""):
        self.cdp("Emulation.setEmulatedMedia", media=media,
                 features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def run(self, script, *arguments):
        """Runs the script, which may `return` something (also a promise's value)."""
        return self._in_session("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, condition, what):
        """Until the script's expression is true; what it waits for takes part of a second as a rule."""
        done = self._in_session("POST", "/execute/async", {"script": """
            const done = arguments[arguments.length - 1], test = new Function("return " + arguments[0]);
            const end = performance.now() + 60000;
            (function look() {
                if (test()) done(true);
                else if (performance.now() > end) done(false);
                else setTimeout(look, 20);
            })();""", "args": [condition]})
        if not done:
            raise AssertionError(f"never came: {what}")

    def click(self, x, y):
        self._in_session("POST", "/actions", {"actions": [{
            "type": "pointer", "id": "mouse", "actions": [
                {"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0},
                {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]}]})

    def keys(self, *names):
        """Presses keys: a character, or ArrowDown and the like."""
        special = {"ArrowDown": "\ue015", "ArrowUp": "\ue013", "PageDown": "\ue00f", "PageUp": "\ue00e", "End": "\ue010",
                   "Home": "\ue011", "Escape": "\ue00c", "Tab": "\ue004", "Enter": "\ue007"}
        actions = []
        for name in names:
            value = special.get(name, name)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self._in_session("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def screenshot(self, path, whole=False):
        parameters = {"format": "png"}
        if whole:
            parameters["captureBeyondViewport"] = True
            box = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
            parameters["clip"] = {"x": 0, "y": 0, "width": box["width"], "height": box["height"], "scale": 1}
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.cdp("Page.captureScreenshot", **parameters)["data"]))

    # ---- what it complained of and asked for ----

    def console(self):
        """Messages since the last call, as text."""
        return [f"{entry['level']}: {entry['message']}"
                for entry in self._in_session("POST", "/se/log", {"type": "browser"})]

    def requests(self):
        """Addresses that were asked for since the last call, but for the page itself."""
        asked = []
        for entry in self._in_session("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        return [url for url in asked if not url.startswith("file://") and not url.startswith("data:")]
