"""Is report.html right, in a browser?

    tests-python/setup.sh && .venv/bin/python tests-python/report_page.py [folder for pictures]

Makes two small runs with `quantrain` (QUANTRAIN, or the release build), opens their pages in headless Chromium at two widths, light and dark, and compares
what they show with the runs' files. One line a finding; exit code 1 where one is wrong, a line that says so where there is no Chromium.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("QUANTRAIN", str(ROOT / "target" / "release" / "quantrain"))
WIDTHS = [1280, 390]
# Bytes of a page, and milliseconds to its first paint.
MOST_BYTES, MOST_PAINT = 1_000_000, 1000
RECIPE = ROOT / "examples" / "fashion-mnist"

OVERFLOWING = """
const width = document.documentElement.clientWidth;
const scrolls = (e) => e.closest('.scroll, .layers, pre');
return [...document.querySelectorAll('body *')].filter((e) => !scrolls(e) && e.getBoundingClientRect().right > width + 1).map((e) => e.tagName + '.' + e.className);
"""


def quantrain(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}: exit code {done.returncode}: {done.stderr}")


def browser(dark):
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = shutil.which("chromium")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    for flag in flags + ["--disable-component-update", "--hide-scrollbars"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
    return driver


class Findings:
    """Counts what is right and what is wrong, and says so."""

    def __init__(self):
        self.wrong = 0

    def tell(self, what, right, seen=""):
        self.wrong += not right
        print(f"  {'right' if right else 'WRONG'} {what}{f': {seen}' if seen else ''}")


def figures(run):
    """What the cards must say, by name."""
    summary = json.loads((run / "summary.json").read_text())
    found = {}
    for name, score in [("float", summary["float"]), ("calibrated", summary.get("calibrated") or summary["ptq"]), ("refined", summary.get("refined"))]:
        if score:
            found[name] = f"{score['top1']:.2f}"
    found[f"exported: {summary['exported']['network']}"] = f"{summary['exported']['score']['top1']:.2f}"
    return found


def look(findings, driver, page, run, width, pictures, dark):
    from axe_core_python.selenium import Axe

    where = f"{page.parent.name}/{page.name}, {width} pixels, {'dark' if dark else 'light'}"
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
    driver.get(page.as_uri())
    driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    log = [entry["message"] for entry in driver.get_log("browser")]
    findings.tell(f"{where}: nothing in the console", not log, "; ".join(log))
    overflowing = driver.execute_script(OVERFLOWING)
    findings.tell(f"{where}: nothing overflows", not overflowing, ", ".join(overflowing[:5]))
    paint = driver.execute_script("return performance.getEntriesByType('paint').map((p) => p.startTime)[0] ?? 0")
    # Told, not judged: the machine may be busy.
    print(f"  {where}: first paint after {paint:.0f} ms, {MOST_PAINT} wanted")
    cards = driver.execute_script("return Object.fromEntries([...document.querySelectorAll('.card')].map((c) => [c.firstChild.textContent, c.lastChild.textContent]))")
    wrong = [f"{name}: {cards.get(name)} shown, {value} in summary.json" for name, value in figures(run).items() if not cards.get(name, "").startswith(value)]
    findings.tell(f"{where}: the scores of summary.json", not wrong, "; ".join(wrong))
    statistics = json.loads((run / "statistics.json").read_text())
    shown = driver.execute_script("return [...document.querySelectorAll('.layer')].map((b) => [...b.children].map((c) => c.textContent))")
    expected = []
    for layer in statistics["layers"]:
        tensor = None if layer["tensor"] is None else statistics["tensors"][layer["tensor"]]
        sqnr = "" if tensor is None else "equal" if tensor["sqnr"] is None else f"{tensor['sqnr']:.1f} dB"
        expected.append([layer["node"], sqnr])
    findings.tell(f"{where}: {len(expected)} layers with the figures of statistics.json", [[row[0], row[-1]] for row in shown] == expected)
    driver.execute_script("document.querySelectorAll('.layer')[0].click()")
    bars = driver.execute_script("return [...document.querySelectorAll('.detail figure')].map((f) => f.querySelectorAll('rect').length)")
    findings.tell(f"{where}: a click draws a layer", len(bars) == 3 and bars[0] == len(statistics["tensors"][0]["histogram"]["counts"]), str(bars))
    judged = Axe().run(driver)
    violations = [f"{found['id']} ({len(found['nodes'])})" for found in judged["violations"]]
    findings.tell(f"{where}: axe-core's rules", judged["passes"] and not violations, "; ".join(violations) or f"{len(judged['passes'])} passed")
    if pictures:
        height = driver.execute_script("return document.documentElement.scrollHeight")
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        driver.save_screenshot(str(Path(pictures) / f"{page.parent.name}-{page.stem}-{width}-{'dark' if dark else 'light'}.png"))


def main():
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        print("skipped: no chromium and chromedriver found (Debian's packages chromium and chromium-driver)")
        return
    pictures = sys.argv[1] if len(sys.argv) > 1 else None
    findings = Findings()
    with tempfile.TemporaryDirectory() as folder:
        calibrated, trained = Path(folder) / "calibrated", Path(folder) / "trained"
        small = ["--eval-images", 100, "--calibration-images", 64]
        quantrain("quantize", RECIPE / "w4a8.toml", *small, "--out", calibrated)
        quantrain("train", RECIPE / "recipe.toml", *small, "--train-images", 1280, "--epochs", 2, "--out", trained)
        both = trained / "both.html"
        quantrain("report", trained, calibrated, "--out", both)
        for dark in [False, True]:
            driver = browser(dark)
            try:
                for width in WIDTHS:
                    for page, run in [(calibrated / "report.html", calibrated), (trained / "report.html", trained), (both, trained)]:
                        look(findings, driver, page, run, width, pictures, dark)
            finally:
                driver.quit()
        for page in [calibrated / "report.html", both]:
            size = page.stat().st_size
            findings.tell(f"{page.name}: at most {MOST_BYTES} bytes", size <= MOST_BYTES, str(size))
    if findings.wrong:
        sys.exit(f"{findings.wrong} wrong")


if __name__ == "__main__":
    main()
