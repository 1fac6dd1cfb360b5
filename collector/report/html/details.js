/* What is known of one packet, as a panel beside the ladder. Everything goes in as text, never as HTML. */

function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined)
        made.textContent = text;
    if (className)
        made.className = className;
    return made;
}

/* Exact time of day of nanoseconds since the epoch, given as BigInt. */
function clockText(ns) {
    const second = ns / 1000000000n - (ns % 1000000000n < 0n ? 1n : 0n);
    const part = ns - second * 1000000000n;
    const date = new Date(Number(second) * 1000);
    if (Number.isNaN(date.getTime()))
        return String(ns) + " ns";
    return date.toISOString().slice(0, 19).replace("T", " ") + "." + String(part).padStart(9, "0");
}

/* The same without the date where that is known already. */
function clockTextOn(day, ns) {
    const text = clockText(ns);
    return text.startsWith(day) ? text.slice(day.length).trimStart() : text;
}

/* The values at the vantage points that saw it: one where they agree. */
function agreed(ladder, i, text) {
    const values = [];
    for (let k = ladder.first[i]; k < ladder.first[i + 1]; k++)
        values.push(text(k));
    return values.every((value) => value === values[0]) ? values[0] : values.join(", ");
}

function fateText(page, scene, i) {
    const { ladder, vantages } = scene;
    const step = ladder.reverse[i] ? -1 : 1;
    const last = ladder.vantage[ladder.first[i + 1] - 1];
    const next = vantages[last + step];
    const finding = ladder.finding[i] >= 0 ? " (finding " + (ladder.finding[i] + 1) + ")" : "";
    if (ladder.marks[i] & MARK.lost) {
        const found = page.report.findings[ladder.finding[i]];
        const other = found ? (ladder.reverse[i] ? found.from : found.to) : next;
        return "Lost between " + vantages[last] + " and " + other + finding + ".";
    }
    if (ladder.marks[i] & MARK.lostBeyond)
        return "Lost beyond " + vantages[last] + finding + ": the same bytes were sent again, unacknowledged.";
    if (isOpen(ladder, i, vantages.length)) {
        const why = {
            unknown: "The capture there cannot tell whether it came.",
            missed: "It arrived, as TCP proves: the captures farther on missed it.",
            outside: "A capture began or ended just then, or the packet was not meant to go on.",
        }[FATES[ladder.fate[i]]] || "The report does not count it as lost.";
        return "Not seen behind " + vantages[last] + ". " + why;
    }
    if (ladder.duplicate[i])
        return "A second copy that a host on the path sent.";
    return "Passed " + (last === ladder.vantage[ladder.first[i]] ? vantages[last] : "to " + vantages[last]) + ".";
}

/* Some point saw it in one packet together with other bytes. */
function isPiece(ladder, i) {
    for (let k = ladder.first[i]; ladder.hasBytes[i] && k < ladder.first[i + 1]; k++)
        if (ladder.payload[k] + flagSpan(ladder.flags[k]) > ladder.length[i])
            return true;
    return false;
}

function facts(scene, i) {
    const { ladder, tcp } = scene;
    const list = [];
    const filled = ladder.known[ladder.first[i]] & 1;
    if (tcp) {
        list.push(["Flags", agreed(ladder, i, (k) => flagNames(ladder.flags[k]) || "none")]);
        if (ladder.hasBytes[i])
            list.push(["Relative sequence", groupDigits(ladder.offset[i]) + " to " +
                groupDigits(ladder.offset[i] + ladder.length[i] - 1)]);
        list.push(["Sequence number", agreed(ladder, i, (k) => String(ladder.seq[k]))]);
        if (filled && agreed(ladder, i, (k) => String(ladder.flags[k] & 16)) !== "0")
            list.push(["Acknowledges", agreed(ladder, i, (k) => ladder.ack[k] + " (relative " +
                groupDigits(relative(scene, 1 - ladder.half[i], ladder.vantage[k], ladder.ack[k])) + ")")]);
        if (filled)
            list.push(["Window", agreed(ladder, i, (k) => String(ladder.window[k]))]);
        if (ladder.known[ladder.first[i]] & 2)
            list.push(["Time stamps", agreed(ladder, i, (k) => ladder.tsval[k] + ", echo " + ladder.tsecr[k])]);
        if (ladder.sacks.has(i))
            list.push(["SACK", ladder.sacks.get(i).map(([left, right]) =>
                groupDigits(relative(scene, 1 - ladder.half[i], ladder.vantage[ladder.first[i]], left)) + " to " +
                groupDigits(relative(scene, 1 - ladder.half[i], ladder.vantage[ladder.first[i]], right) - 1)).join("; ")]);
    }
    list.push(["Payload", agreed(ladder, i, (k) => groupDigits(ladder.payload[k])) + " bytes"]);
    if (isPiece(ladder, i))
        list.push(["Piece of it", groupDigits(ladder.length[i]) + " bytes, which were a packet of their own elsewhere"]);
    list.push(["IP length", agreed(ladder, i, (k) => groupDigits(ladder.ipLength[k])) + " bytes"]);
    list.push(["IP ID", agreed(ladder, i, (k) => ladder.ipId[k] ? String(ladder.ipId[k]) : "none")]);
    list.push(["TTL", agreed(ladder, i, (k) => String(ladder.ttl[k]))]);
    return list;
}

function timesTable(page, scene, i) {
    const { ladder, vantages } = scene;
    const base = BigInt(scene.packed.base);
    const table = element("table");
    const head = table.appendChild(element("thead")).appendChild(element("tr"));
    const day = clockText(base + BigInt(ladder.time[ladder.first[i]])).slice(0, 10);
    for (const name of ["Vantage point", "Time on " + day + " UTC", "After"])
        head.appendChild(element("th", name)).scope = "col";
    const body = table.appendChild(element("tbody"));
    const order = ladder.reverse[i] ? vantages.map((_, v) => vantages.length - 1 - v) : vantages.map((_, v) => v);
    let k = ladder.first[i];
    for (const v of order) {
        const row = body.appendChild(element("tr"));
        row.appendChild(element("th", vantages[v])).scope = "row";
        if (k === ladder.first[i + 1] || ladder.vantage[k] !== v) {
            const cell = row.appendChild(element("td", "not seen", "hint"));
            cell.colSpan = 2;
            continue;
        }
        const time = base + BigInt(ladder.time[k]);
        const own = time + BigInt(page.ladder.offsets[v]) + BigInt(ladder.shift[k]);
        const cell = row.appendChild(element("td", clockTextOn(day, time), "mono"));
        if (own !== time)
            cell.appendChild(element("div", "own clock " + clockTextOn(day, own), "hint"));
        row.appendChild(element("td", k === ladder.first[i] ? "" : durationText(ladder.time[k] - ladder.time[k - 1]), "n"));
        k++;
    }
    return table;
}

/* Other transmissions of any of its bytes, in order of time. */
function copiesOf(ladder, i) {
    const copies = [];
    if (!ladder.hasBytes[i])
        return copies;
    const end = ladder.offset[i] + ladder.length[i];
    for (let k = 0; k < ladder.packets; k++)
        if (ladder.hasBytes[k] && ladder.half[k] === ladder.half[i] && ladder.offset[k] < end &&
            ladder.offset[k] + ladder.length[k] > ladder.offset[i])
            copies.push(k);
    return copies;
}

function copiesList(scene, i, choose) {
    const { ladder } = scene;
    const copies = copiesOf(ladder, i);
    const line = element("p", undefined, "copies");
    if (copies.length < 2)
        return line;
    line.appendChild(element("span", "These bytes were sent " + copies.length + " times:"));
    for (const k of copies.slice(0, 12)) {
        const button = element("button", (isLost(ladder, k) ? "\u2715 " : "") + secondsText(ladder.time[ladder.first[k]]));
        button.type = "button";
        button.disabled = k === i;
        button.addEventListener("click", () => choose(k));
        line.appendChild(button);
    }
    if (copies.length > 12)
        line.appendChild(element("span", "and " + (copies.length - 12) + " more"));
    return line;
}

function showDetails(page, scene, i, choose) {
    const panel = document.getElementById("ladder-details");
    panel.replaceChildren();
    panel.parentElement.classList.toggle("chosen", i >= 0);
    if (i < 0)
        return;
    const { ladder } = scene;
    const title = packetTitle(scene, i) + ", " + (ladder.reverse[i] ? "reverse" : "forward") +
        (isAgain(ladder, i) ? ", sent again" : "");
    panel.appendChild(element("h3", title));
    panel.appendChild(element("p", fateText(page, scene, i), isLost(ladder, i) ? "bad" : ""));
    if (ladder.marks[i] & MARK.showsBeyond)
        panel.appendChild(element("p", "It shows that the copy before it, or the answer to it, was lost beyond the path."));
    if (ladder.marks[i] & MARK.showsBefore)
        panel.appendChild(element("p", "It fills a hole: an earlier copy was lost before it could come to " +
            scene.vantages[ladder.vantage[ladder.first[i]]] + (ladder.finding[i] >= 0 ? " (finding " + (ladder.finding[i] + 1) + ")" : "") +
            ".", "bad"));
    panel.appendChild(copiesList(scene, i, choose));
    const list = panel.appendChild(element("dl", undefined, "facts"));
    for (const [name, value] of facts(scene, i)) {
        const pair = list.appendChild(element("div"));
        pair.appendChild(element("dt", name));
        pair.appendChild(element("dd", value));
    }
    const scroll = panel.appendChild(element("div", undefined, "scroll"));
    scroll.appendChild(timesTable(page, scene, i));
}
