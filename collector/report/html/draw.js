/* Draws the part of the ladder that is in view on a canvas. Only what is in view is looked at, and where many packets
 * share a pixel only the first of them is drawn; losses always are. */

const HEADER = 46; /* the vantage points' names */
const ORIGIN = HEADER + 20; /* where the first packet is */
const PALETTES = {
    light: {
        panel: "#ffffff", text: "#1b2027", soft: "#59636f", rule: "#d9dee5", line: "#9aa4b0", gap: "#eef1f5",
        forward: "#0b63a8", reverse: "#087a63", bad: "#b3261e", chosen: "#f2c94c",
    },
    dark: {
        panel: "#1c2128", text: "#e4e8ed", soft: "#a2acb8", rule: "#353d47", line: "#6b7683", gap: "#252b33",
        forward: "#6cb4f0", reverse: "#5ccbb1", bad: "#ff8a7a", chosen: "#8a6d1d",
    },
};
const LABEL_FONT = "11px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const NAME_FONT = "600 12px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const LABEL_HEIGHT = 12;

/* A line from sighting to sighting, and where it ends: [x1, y1, x2, y2] for each hop. In canvas pixels. */
function hops(view, i) {
    const { ladder, vantages } = view.scene;
    const { columns, places } = view;
    const lines = [];
    const yOf = (k) => places.y[k] * view.zoom - view.top + ORIGIN;
    const xOf = (k) => columns.x[ladder.vantage[k]];
    const last = ladder.first[i + 1] - 1;
    for (let k = ladder.first[i]; k < last; k++)
        lines.push([xOf(k), yOf(k), xOf(k + 1), yOf(k + 1)]);
    const step = ladder.reverse[i] ? -1 : 1;
    const v = ladder.vantage[last];
    const outer = v === (ladder.reverse[i] ? 0 : vantages.length - 1);
    let ending = "arrow";
    if (isLost(ladder, i)) {
        ending = "cross";
    } else if (isOpen(ladder, i, vantages.length)) {
        ending = "open";
    }
    if (ending !== "arrow") {
        const reach = outer ? columns.stub : (columns.pitch * (ending === "cross" ? 0.55 : 0.25));
        lines.push([xOf(last), yOf(last), xOf(last) + step * reach, yOf(last) + Math.min(14, 6 * view.zoom)]);
    } else if (vantages.length === 1) {
        lines.push([xOf(last), yOf(last), xOf(last) + step * columns.stub, yOf(last)]);
    }
    /* One vantage point alone sees packets come and go. */
    if (vantages.length === 1)
        lines.unshift([xOf(last) - step * columns.stub, yOf(last), xOf(last), yOf(last)]);
    return { lines, ending };
}

function arrowHead(canvas, line, colour) {
    const [x1, y1, x2, y2] = line;
    const angle = Math.atan2(y2 - y1, x2 - x1);
    canvas.fillStyle = colour;
    canvas.beginPath();
    canvas.moveTo(x2, y2);
    canvas.lineTo(x2 - 7 * Math.cos(angle - 0.4), y2 - 7 * Math.sin(angle - 0.4));
    canvas.lineTo(x2 - 7 * Math.cos(angle + 0.4), y2 - 7 * Math.sin(angle + 0.4));
    canvas.fill();
}

function crossMark(canvas, x, y, size, colour) {
    canvas.strokeStyle = colour;
    canvas.lineWidth = 2.6;
    canvas.setLineDash([]);
    canvas.beginPath();
    canvas.moveTo(x - size, y - size);
    canvas.lineTo(x + size, y + size);
    canvas.moveTo(x + size, y - size);
    canvas.lineTo(x - size, y + size);
    canvas.stroke();
}

function strokeLines(canvas, lines) {
    canvas.beginPath();
    for (const [x1, y1, x2, y2] of lines) {
        canvas.moveTo(x1, y1);
        canvas.lineTo(x2, y2);
    }
    canvas.stroke();
}

function drawPacket(view, i, detailed) {
    const { canvas, colours } = view;
    const { ladder } = view.scene;
    const lost = isLost(ladder, i);
    const own = ladder.reverse[i] ? colours.reverse : colours.forward;
    const colour = lost ? colours.bad : own;
    const { lines, ending } = hops(view, i);
    if (i === view.chosen) {
        canvas.strokeStyle = colours.chosen;
        canvas.lineWidth = 9;
        canvas.setLineDash([]);
        strokeLines(canvas, lines);
    }
    const payload = ladder.payload[ladder.first[i]] > 0;
    canvas.strokeStyle = colour;
    canvas.lineWidth = lost ? 2.2 : payload ? 1.6 : 1;
    canvas.setLineDash(isAgain(ladder, i) ? [6, 3] : []);
    if (ending === "open") {
        strokeLines(canvas, lines.slice(0, -1));
        canvas.strokeStyle = colours.soft;
        strokeLines(canvas, lines.slice(-1));
    } else {
        strokeLines(canvas, lines);
    }
    if (showsLoss(ladder, i)) {
        const [x, y] = lines[0];
        crossMark(canvas, x - (ladder.reverse[i] ? -1 : 1) * 14, y, detailed ? 6 : 4, colours.bad);
    }
    const [, , x, y] = lines[lines.length - 1];
    if (ending === "cross") {
        crossMark(canvas, x, y, detailed ? 6 : 4, colours.bad);
    } else if (detailed && ending === "open") {
        canvas.setLineDash([]);
        canvas.lineWidth = 1.4;
        canvas.beginPath();
        canvas.arc(x, y, 3.5, 0, 2 * Math.PI);
        canvas.stroke();
    } else if (detailed) {
        canvas.setLineDash([]);
        for (const line of lines)
            arrowHead(canvas, line, colour);
    }
}

/* The label's place: [x, alignment]. Outside of the lines it stands before the arrow's beginning, else above the arrow. */
function labelPlace(view, i) {
    const { columns } = view;
    const { ladder } = view.scene;
    const x = columns.x[ladder.vantage[ladder.first[i]]];
    const reverse = ladder.reverse[i] === 1;
    const outermost = ladder.vantage[ladder.first[i]] === (reverse ? columns.x.length - 1 : 0);
    const away = showsLoss(ladder, i) ? 26 : 8;
    if (columns.outside && outermost && columns.x.length > 1)
        return reverse ? [x + away, "left", 4] : [x - away, "right", 4];
    return reverse ? [x - 8, "right", -4] : [x + 8, "left", -4];
}

/* Whether a label at height y is free of those that are there; then it is one of them. */
function takeRow(taken, y) {
    const row = Math.floor(y / LABEL_HEIGHT);
    for (const near of [row - 1, row, row + 1])
        if (taken.has(near) && Math.abs(taken.get(near) - y) < LABEL_HEIGHT)
            return false;
    taken.set(row, y);
    return true;
}

function labelPacket(view, i, taken) {
    const { canvas, colours } = view;
    const { ladder } = view.scene;
    const y = view.places.y[ladder.first[i]] * view.zoom - view.top + ORIGIN;
    if (y < HEADER + 2 || !takeRow(taken[ladder.reverse[i]], y))
        return;
    const [x, align, below] = labelPlace(view, i);
    canvas.textAlign = align;
    canvas.font = isLost(ladder, i) ? "700 " + LABEL_FONT : LABEL_FONT;
    const text = packetLabel(view.scene, i);
    canvas.lineWidth = 3;
    canvas.strokeStyle = colours.panel;
    canvas.strokeText(text, x, y + below);
    canvas.fillStyle = isLost(ladder, i) ? colours.bad : colours.text;
    canvas.fillText(text, x, y + below);
}

/* Which of the packets [from, to) are drawn: all, or where they are denser than pixels only one a pixel and direction. */
function thinned(view, from, to) {
    const { ladder } = view.scene;
    const drawn = [];
    const next = [-Infinity, -Infinity];
    for (let i = from; i < to; i++) {
        const y = view.places.y[ladder.first[i]] * view.zoom;
        if (isLost(ladder, i) || showsLoss(ladder, i) || i === view.chosen || y >= next[ladder.reverse[i]]) {
            drawn.push(i);
            next[ladder.reverse[i]] = y + 0.8;
        }
    }
    return drawn;
}

/* Of very many losses one a pixel row is enough. */
function oneAPixel(view, list) {
    const { ladder } = view.scene;
    let previous = -Infinity;
    return list.filter((i) => {
        const y = Math.round(view.places.y[ladder.first[i]] * view.zoom);
        const fits = y !== previous || i === view.chosen;
        previous = y;
        return fits;
    });
}

/* ---- what does not move with the packets ---- */

function shortened(canvas, text, width) {
    if (canvas.measureText(text).width <= width)
        return text;
    const characters = Array.from(text);
    while (characters.length > 1 && canvas.measureText(characters.join("") + "\u2026").width > width)
        characters.pop();
    return characters.join("") + "\u2026";
}

function drawNames(view) {
    const { canvas, colours, columns } = view;
    canvas.fillStyle = colours.panel;
    canvas.fillRect(0, 0, columns.total, HEADER);
    canvas.fillStyle = colours.text;
    canvas.font = NAME_FONT;
    canvas.textAlign = "center";
    view.scene.vantages.forEach((name, v) => {
        const slash = name.indexOf("/");
        const lines = slash < 0 ? [name] : [name.slice(0, slash), name.slice(slash + 1)];
        lines.forEach((line, n) => {
            const y = lines.length === 1 ? 27 : 19 + 15 * n;
            canvas.fillText(shortened(canvas, line, columns.pitch - 10), columns.x[v], y);
        });
    });
    canvas.fillStyle = colours.rule;
    canvas.fillRect(0, HEADER - 1, columns.total, 1);
}

function secondsText(ns) {
    const sign = ns < 0 ? "\u2212" : "";
    const us = Math.round(Math.abs(ns) / 1000);
    const whole = Math.floor(us / 1e6);
    const part = String(us % 1e6).padStart(6, "0");
    return sign + whole + "." + part.slice(0, 3) + " " + part.slice(3) + " s";
}

function durationText(ns) {
    const size = Math.abs(ns);
    if (size < 1e3)
        return Math.round(ns) + " ns";
    if (size < 1e6)
        return (ns / 1e3).toFixed(1) + " \u00b5s";
    if (size < 1e9)
        return (ns / 1e6).toFixed(2) + " ms";
    return (ns / 1e9).toFixed(3) + " s";
}

/* Times at the left where packets set out, and how long pauses were. */
function drawTimes(view, from, to, height) {
    const { canvas, colours, columns, places } = view;
    const { ladder } = view.scene;
    canvas.fillStyle = colours.panel;
    canvas.fillRect(view.left, HEADER, columns.left - 4, height);
    canvas.font = LABEL_FONT;
    canvas.textAlign = "right";
    let free = HEADER + 8;
    for (let i = from; i < to; i++) {
        const y = places.y[ladder.first[i]] * view.zoom - view.top + ORIGIN;
        if (y < free || y > height)
            continue;
        canvas.fillStyle = i === view.chosen ? colours.text : colours.soft;
        canvas.fillText(secondsText(ladder.time[ladder.first[i]]), view.left + columns.left - 10, y + 4);
        free = y + (places.trueScale ? 18 : 26);
    }
}

function inWindows(scene, time) {
    return scene.packed.windows.some(([from, to]) => time >= from && time <= to);
}

function drawPauses(view, height) {
    const { canvas, colours, columns, places } = view;
    const top = view.top / view.zoom;
    const first = Math.max(0, lastAtMost(places.heights, top));
    const right = columns.x[columns.x.length - 1];
    canvas.font = LABEL_FONT;
    canvas.textAlign = "center";
    for (let e = first; e + 1 < places.times.length; e++) {
        const y1 = places.heights[e] * view.zoom - view.top + ORIGIN;
        const y2 = places.heights[e + 1] * view.zoom - view.top + ORIGIN;
        if (y1 > height)
            break;
        const apart = places.times[e + 1] - places.times[e];
        if (apart < GAP_LABEL_NS || y2 - y1 < 16)
            continue;
        const whole = inWindows(view.scene, places.times[e] + apart / 2);
        canvas.fillStyle = colours.gap;
        canvas.fillRect(columns.left, y1 + 3, right + columns.stub - columns.left, y2 - y1 - 6);
        canvas.fillStyle = colours.soft;
        const text = whole ? durationText(apart) : durationText(apart) + " whose packets are not on this page";
        canvas.fillText(text, (columns.left + right + columns.stub) / 2, Math.min(Math.max((y1 + y2) / 2 + 4, HEADER + 14),
            y2 - 5));
    }
}

/* A strip at the right edge: where in the whole the losses are, and what is in view. */
function drawOverview(view, width, height) {
    const { canvas, colours, scene, places } = view;
    const full = height - HEADER;
    const total = Math.max(view.full, 1);
    const x = view.left + width - 12;
    canvas.fillStyle = colours.gap;
    canvas.fillRect(x, HEADER, 12, full);
    canvas.fillStyle = colours.line;
    canvas.globalAlpha = 0.45;
    canvas.fillRect(x, HEADER + view.top / total * full, 12, Math.max(4, full / total * full));
    canvas.globalAlpha = 1;
    canvas.fillStyle = colours.bad;
    let previous = -1;
    for (const i of scene.losses) {
        const y = Math.round(HEADER + places.y[scene.ladder.first[i]] * view.zoom / total * full);
        if (y !== previous)
            canvas.fillRect(x + 2, y - 1, 8, 2);
        previous = y;
    }
}

/* ---- all of it ---- */

function draw(view, width, height, ratio) {
    const { canvas, colours, columns, places } = view;
    canvas.setTransform(ratio, 0, 0, ratio, 0, 0);
    canvas.fillStyle = colours.panel;
    canvas.fillRect(0, 0, width, height);
    canvas.translate(-view.left, 0);
    canvas.lineCap = "butt";
    canvas.textBaseline = "alphabetic";
    drawPauses(view, height);
    canvas.fillStyle = colours.line;
    for (const x of columns.x)
        canvas.fillRect(x - 0.75, HEADER, 1.5, height);
    const [from, to] = packetsBetween(view.scene, places, (view.top - 30) / view.zoom, (view.top + height) / view.zoom);
    const detailed = to - from < 1500;
    const drawn = detailed ? Array.from({ length: to - from }, (_, n) => from + n) : thinned(view, from, to);
    const matters = (i) => isLost(view.scene.ladder, i) || showsLoss(view.scene.ladder, i);
    const lost = drawn.filter(matters);
    for (const i of drawn)
        if (!matters(i) && i !== view.chosen)
            drawPacket(view, i, detailed);
    for (const i of oneAPixel(view, lost))
        drawPacket(view, i, detailed);
    if (view.chosen >= from && view.chosen < to)
        drawPacket(view, view.chosen, detailed);
    canvas.setLineDash([]);
    if (detailed) {
        const taken = [new Map(), new Map()];
        for (const i of [view.chosen, ...lost, ...drawn])
            if (i >= from && i < to)
                labelPacket(view, i, taken);
    }
    drawTimes(view, from, to, height);
    drawNames(view);
    drawOverview(view, width, height);
}
