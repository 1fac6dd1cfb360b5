#!/usr/bin/env python3
"""browser_test.py FOLDER: opens the pages that browser.sh has made there, and uses them as a person would."""
import json
import sys
import time
import traceback

from browser import Browser

folder = sys.argv[1]


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def opened(browser, name, with_ladder=True):
    browser.open(f"{folder}/{name}.html")
    browser.wait("document.documentElement.classList.contains('running')", "the page's script")
    if with_ladder:
        browser.wait("document.getElementById('ladder-view').dataset.scene !== undefined", "the ladder")
    return json.load(open(f"{folder}/{name}.json", encoding="utf-8"))


def quiet(browser):
    """Nothing was complained of, nothing was asked for."""
    messages, asked = browser.console(), browser.requests()
    check(messages == [], f"the console says {messages}")
    check(asked == [], f"the page asked for {asked}")


# A copy is read: reading the page's own canvas again and again would make the browser complain.
COPY = """
    droppoint.ladder.drawNow();
    const canvas = document.getElementById("ladder-canvas");
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;"""


def painted(browser):
    """How many pixels of the ladder are red, as losses are, and how many not the background's."""
    return browser.run(COPY + """
        const back = data.slice(0, 3);
        let red = 0, other = 0;
        for (let i = 0; i < data.length; i += 4) {
            if (data[i] > 150 && data[i + 1] < 70 && data[i + 2] < 70)
                red++;
            if (data[i] !== back[0] || data[i + 1] !== back[1] || data[i + 2] !== back[2])
                other++;
        }
        return { red, other };""")


def click_packet(browser, index):
    """Scrolls there by the page's own means, and clicks where its line ends."""
    browser.run("droppoint.ladder.choose(-1, false)")
    browser.run("document.getElementById('ladder-view').scrollIntoView({ block: 'center' })")
    browser.run("droppoint.ladder.moveTo(droppoint.ladder.heightOf(arguments[0]) - 150)", index)
    # A busy machine lays the page out and scrolls it some time later: the place has to be at rest.
    point, before = None, 0
    for _ in range(50):
        point, before = browser.run("return droppoint.ladder.pointOf(arguments[0])", index), point
        if point == before:
            break
        time.sleep(0.1)
    browser.click(point["x"], point["y"])
    return browser.run("return droppoint.ladder.view.chosen")


def details(browser):
    return browser.run("return document.getElementById('ladder-details').textContent")


# ---- the tests ----

def test_losing_segment_is_marked(browser):
    result = opened(browser, "bulk")
    finding = result["findings"][0]
    lost = f"{finding['lost_packets']:,} lost"
    seen = browser.run("""
        return Array.from(document.querySelectorAll(".picture.wide .lane"), (lane) => {
            const line = lane.querySelector(".line");
            return { bad: lane.classList.contains("bad"), text: lane.textContent.trim(), width:
                parseFloat(getComputedStyle(line).strokeWidth), colour: getComputedStyle(line).stroke,
                cross: lane.querySelector(".cross") !== null };
        });""")
    check(len(seen) == 12, "six stretches in two directions")
    bad = [n for n, lane in enumerate(seen) if lane["bad"]]
    # Before, mx1-lb1, inside lb1: the third stretch, forward.
    check(bad == [4], f"lanes {bad} are marked")
    check(lost in seen[4]["text"] and seen[4]["cross"], f"the mark says {seen[4]['text']}")
    others = {lane["colour"] for lane in seen if not lane["bad"]}
    check(seen[4]["colour"] not in others and seen[4]["width"] > 2, "the mark looks like the others")
    headline = browser.run("return document.querySelector('h1').textContent")
    check("LOSS" in headline and "lb1/eth0" in headline and "lb1/eth1" in headline, headline)
    check(browser.run("return document.querySelector('.verdict .next').textContent").startswith("Next step"), "no next step")
    quiet(browser)


def test_clicked_lost_packet_shows_its_details(browser):
    result = opened(browser, "bulk")
    lost = browser.run("return droppoint.ladder.view.scene.losses")
    check(len(lost) > 1, "the flow shown first lost packets")
    for index in lost:
        chosen = click_packet(browser, index)
        check(chosen == index, f"a click at lost packet {index} chooses {chosen}")
        text = details(browser)
        check("Lost between lb1/eth0 and lb1/eth1 (finding 1)" in text, text)
        for word in ["Sequence number", "Acknowledges", "Flags", "IP ID", "Payload", "TTL", "sent 2 times"]:
            check(word in text, f"{word} is missing: {text}")
        rows = browser.run("""return Array.from(document.querySelectorAll("#ladder-details tbody tr"), (row) =>
            Array.from(row.children, (cell) => cell.textContent));""")
        check([row[0] for row in rows] == [v["name"] for v in result["vantages"]], rows)
        check(all("2026" in row[1] or ":" in row[1] for row in rows[:2]), rows)
        check(all(row[1] == "not seen" for row in rows[2:]), rows)
    quiet(browser)


def test_only_the_report_s_losses_are_red(browser):
    """Over all flows of the page the crosses are the report's, one for one."""
    result = opened(browser, "bulk")
    flows = browser.run("return document.getElementById('ladder-flow').length")
    total = 0
    for n in range(flows):
        browser.run("""const choice = document.getElementById("ladder-flow"); choice.value = arguments[0];
            choice.dispatchEvent(new Event("change"));""", str(n))
        browser.wait(f"document.getElementById('ladder-view').dataset.scene === '{n}'", f"flow {n}")
        flow, lost = browser.run("""const scene = droppoint.ladder.view.scene; return [scene.packed.flow, scene.losses.length]""")
        wanted = next(f for f in result["flows"] if f["id"] == flow)["lost_packets"]
        check(lost == wanted, f"flow {flow}: {lost} crosses, {wanted} lost")
        total += lost
    check(total == result["findings"][0]["lost_packets"], f"{total} crosses in all")
    check(painted(browser)["red"] > 20, "no red is seen")
    quiet(browser)


def test_keys(browser):
    opened(browser, "bulk")
    browser.run("document.getElementById('ladder-view').focus()")
    losses = browser.run("return droppoint.ladder.view.scene.losses")
    at = lambda: browser.run("return droppoint.ladder.view.chosen")
    check(at() == losses[0], "the first loss is chosen to begin with")
    browser.keys("n")
    check(at() == losses[1], "N goes to the next loss")
    browser.keys("p", "p")
    check(at() == losses[-1], "P goes to the loss before, round at the beginning")
    browser.keys("ArrowUp")
    check(at() == losses[-1] - 1, "the arrow goes to the packet before")
    check("Lost" not in details(browser), "the details are that packet's")
    zoom = browser.run("return droppoint.ladder.view.zoom")
    browser.keys("+")
    check(browser.run("return droppoint.ladder.view.zoom") > zoom, "+ zooms in")
    browser.keys("-", "-")
    check(browser.run("return droppoint.ladder.view.zoom") < zoom, "- zooms out")
    browser.keys("0")
    check(browser.run("return droppoint.ladder.view.zoom") == 1, "0 restores the size")
    browser.keys("End")
    end = browser.run("return droppoint.ladder.view.top")
    browser.keys("Home")
    check(end > 1000 and browser.run("return droppoint.ladder.view.top") == 0, "End and Home scroll")
    browser.keys("Escape")
    check(at() == -1 and details(browser) == "", "Escape lets go")
    quiet(browser)


def test_finding_leads_to_its_packets(browser):
    opened(browser, "bulk")
    browser.run("droppoint.ladder.choose(-1, false)")
    browser.run("document.querySelector('button[data-finding]').click()")
    browser.wait("droppoint.ladder.view.chosen >= 0", "a packet of the finding")
    check("Lost between" in details(browser), "the finding's button shows a lost packet")
    browser.run("document.querySelector('#flows tbody tr:nth-child(3) button').click()")
    flow = browser.run("return Number(document.querySelector('#flows tbody tr:nth-child(3) button').textContent)")
    browser.wait(f"droppoint.ladder.view.scene.packed.flow === {flow}", "the flow of the table's row")
    quiet(browser)


def test_flows_are_searched(browser):
    result = opened(browser, "bulk")
    rows = lambda: browser.run("return document.querySelectorAll('#flows tbody tr').length")
    check(rows() == len(result["flows"]), "all flows are listed")
    wanted = result["flows"][4]
    browser.run("""const field = document.getElementById("flow-search"); field.value = arguments[0];
        field.dispatchEvent(new Event("input"));""", wanted["client"])
    check(rows() == 1, "a client's address finds one flow")
    text = browser.run("return document.querySelector('#flows tbody').textContent")
    check(wanted["client"] in text and wanted["server"] in text, text)
    browser.run("""const field = document.getElementById("flow-search"); field.value = "no such thing";
        field.dispatchEvent(new Event("input"));""")
    check(rows() == 0, "nothing is found where nothing is")
    quiet(browser)


def test_hundred_thousand_packets(browser):
    result = opened(browser, "long")
    count = browser.run("return droppoint.ladder.view.scene.ladder.packets")
    check(90000 < count <= 100000, f"{count} packets")
    lost = browser.run("return droppoint.ladder.view.scene.losses.length")
    shown = browser.run("return droppoint.ladder.view.scene.packed.lost")
    check(shown == result["findings"][0]["lost_packets"] and lost > 5, f"{lost} of {shown} losses")
    first = painted(browser)
    check(first["red"] > 20 and first["other"] > 5000, f"nothing is drawn: {first}")
    # Down, page by page and by the scroll bar, to the end.
    browser.run("document.getElementById('ladder-view').focus()")
    browser.keys("PageDown", "PageDown")
    check(painted(browser)["other"] > 5000, "nothing is drawn two pages down")
    for part in (0.3, 0.77, 1):
        browser.run("""const box = document.getElementById("ladder-view");
            box.scrollTop = arguments[0] * (box.scrollHeight - box.clientHeight);
            return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));""", part)
        check(painted(browser)["other"] > 2000, f"nothing is drawn at {part}")
    last = browser.run("""const view = droppoint.ladder.view, ladder = view.scene.ladder;
        return packetsBetween(view.scene, view.places, view.top / view.zoom, Infinity)[1] === ladder.packets;""")
    check(last, "the scroll bar's end is not the ladder's")
    # Out until all of it is in view, in again.
    for _ in range(40):
        browser.keys("-")
    seen = painted(browser)
    check(seen["other"] > 20000 and seen["red"] > 20, f"the whole is not drawn: {seen}")
    full = browser.run("return droppoint.ladder.view.full <= document.getElementById('ladder-view').clientHeight + 200")
    check(full, "zooming out ends before the whole is in view")
    for _ in range(40):
        browser.keys("+")
    check(painted(browser)["other"] > 500, "nothing is drawn zoomed in")
    browser.keys("0", "n")
    check(painted(browser)["red"] > 20, "the next loss is not in view")
    check(click_packet(browser, browser.run("return droppoint.ladder.view.scene.losses[3]")) ==
          browser.run("return droppoint.ladder.view.scene.losses[3]"), "a lost packet cannot be clicked")
    # With a true scale the whole is higher than any browser scrolls.
    browser.run("document.getElementById('ladder-true').click()")
    browser.run("document.getElementById('ladder-view').focus()")
    for _ in range(12):
        browser.keys("+")
    height = browser.run("return [droppoint.ladder.view.full, document.getElementById('ladder-view').scrollHeight]")
    check(height[0] > 3e7 > height[1], f"heights {height}")
    browser.keys("n")
    check(painted(browser)["red"] > 20, "the next loss is not in view with a true scale")
    chosen = browser.run("return droppoint.ladder.view.chosen")
    check(click_packet(browser, chosen) == chosen, "a lost packet cannot be clicked with a true scale")
    quiet(browser)


def test_one_vantage_point(browser):
    opened(browser, "beyond")
    check(browser.run("return droppoint.ladder.view.scene.losses.length") > 0, "losses beyond are shown")
    check("Lost beyond lb1/eth0" in details(browser), details(browser))
    check(painted(browser)["red"] > 20, "no red is seen")
    quiet(browser)


def test_piece_of_a_large_packet(browser):
    opened(browser, "pieces")
    pieces = browser.run("""const { ladder, losses } = droppoint.ladder.view.scene, found = [];
        for (let i = 0; i < ladder.packets; i++)
            if (ladder.payload[ladder.first[i]] === 1800)
                found.push([ladder.offset[i], ladder.length[i], isLost(ladder, i), losses.includes(i)]);
        return found;""")
    check(pieces == [[21, 600, False, False], [621, 600, True, True], [1221, 600, False, False]], pieces)
    text = details(browser)
    for words in ["Lost between a and b", "621 to 1,220", "1,800 bytes", "600 bytes, which were a packet of their own"]:
        check(words in text, f"{words} is missing: {text}")
    check("1 of 1" in browser.run("return document.getElementById('ladder-place').textContent"), "one packet was lost")
    quiet(browser)


def test_hostile_names_are_text(browser):
    result = opened(browser, "hostile")
    names = [v["name"] for v in result["vantages"]]
    check("<script>" in names[0], names)
    check(browser.run("return document.querySelectorAll('script').length") == 2, "a name became a script")
    check(browser.run("return document.querySelectorAll('b').length") == 0, "a name became an element")
    shown = browser.run("return Array.from(document.querySelectorAll('#vantages tbody th'), (cell) => cell.textContent)")
    check(shown == names, shown)
    check(f"Lost between {names[0]} and {names[1]}" in details(browser), details(browser))
    quiet(browser)
    # What could not be kept off the page would not run.
    browser.run("""const script = document.createElement("script"); script.textContent = "window.ran = true";
        document.body.appendChild(script);""")
    check(browser.run("return window.ran === undefined"), "the policy lets foreign scripts run")
    check(any("Content Security Policy" in message for message in browser.console()), "the policy says nothing")


def test_pages_without_losses(browser):
    opened(browser, "clean")
    check("CLEAN" in browser.run("return document.querySelector('h1').textContent"), "clean is said")
    check(browser.run("return droppoint.ladder.view.scene.losses.length") == 0, "nothing is lost")
    check(painted(browser)["other"] > 1000, "the packets are drawn")
    quiet(browser)
    opened(browser, "nothing", with_ladder=False)
    check("INCONCLUSIVE" in browser.run("return document.querySelector('h1').textContent"), "inconclusive is said")
    check(browser.run("return document.getElementById('ladder') === null"), "there is no ladder without packets")
    quiet(browser)


def test_narrow_and_dark(browser):
    browser.size(360, 740)
    opened(browser, "bulk")
    wide = browser.run("return document.documentElement.scrollWidth")
    check(wide <= 360, f"the page is {wide} pixels wide on a phone")
    shown = browser.run("""return [".picture.wide", ".picture.tall"].map((name) =>
        getComputedStyle(document.querySelector(name)).display);""")
    check(shown == ["none", "block"], f"the path's pictures are {shown}")
    light = browser.run("return getComputedStyle(document.body).backgroundColor")
    browser.colours(True)
    dark = browser.run("return getComputedStyle(document.body).backgroundColor")
    check(light != dark, "dark looks like light")
    for _ in range(40):  # it is drawn anew with the next frame
        pixel = browser.run(COPY + "return Array.from(data.slice(0, 3));")
        if max(pixel) < 80:
            break
        time.sleep(0.05)
    check(max(pixel) < 80, f"the ladder is light in the dark: {pixel}")
    browser.colours(False, media="print")
    paper = browser.run("return getComputedStyle(document.querySelector('section')).backgroundColor")
    check(paper in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"), f"paper is {paper}")
    check(browser.run("return getComputedStyle(document.querySelector('.tools')).display") == "none", "buttons are printed")
    quiet(browser)


def main():
    failures = 0
    tests = [value for name, value in globals().items() if name.startswith("test_")]
    with Browser(1280, 900) as browser:
        for test in tests:
            browser.size(1280, 900)
            browser.colours(False)
            try:
                test(browser)
                print(f"ok   {test.__name__}")
            except (AssertionError, RuntimeError):
                traceback.print_exc(file=sys.stdout)
                print(f"FAIL {test.__name__}")
                failures += 1
    print(f"{failures} failed")
    sys.exit(failures > 0)


main()
