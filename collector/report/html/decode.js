/* Unpacks one flow's packets as collector/report/html_ladder.c packed them: columns of differences, 7 bits a byte with
 * the low ones first, deflated, in base64. */

const FATES = ["arrived", "lost", "missed", "unknown", "outside"];
const MARK = { lost: 1, lostBeyond: 2, showsBeyond: 4, showsBefore: 8 };

async function inflate(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++)
        bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
}

/* Reads numbers off bytes, one after the other. Beyond 2^53 they lose their lowest bits; no time in a ladder is so
 * large. */
function reader(bytes) {
    let at = 0;
    function number() {
        let value = 0;
        let scale = 1;
        for (;;) {
            const byte = bytes[at++];
            value += (byte & 127) * scale;
            if (byte < 128)
                return value;
            scale *= 128;
        }
    }
    function difference() {
        const value = number();
        return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    return { number, difference };
}

function readTimes(read, ladder) {
    let previous = 0;
    for (let i = 0; i < ladder.packets; i++) {
        let before = previous;
        for (let k = ladder.first[i]; k < ladder.first[i + 1]; k++) {
            ladder.time[k] = before + read.difference();
            before = ladder.time[k];
        }
        previous = ladder.time[ladder.first[i]];
    }
    const shift = [];
    for (let k = 0; k < ladder.sightings; k++) {
        const v = ladder.vantage[k];
        shift[v] = (shift[v] || 0) + read.difference();
        ladder.shift[k] = shift[v];
    }
}

/* Expected is what the point before saw, of the first point what it saw of the packet before in this half. */
function readField(read, ladder, to) {
    const first = [0, 0];
    for (let i = 0; i < ladder.packets; i++) {
        let expected = first[ladder.half[i]];
        for (let k = ladder.first[i]; k < ladder.first[i + 1]; k++) {
            to[k] = expected + read.difference();
            expected = to[k];
        }
        first[ladder.half[i]] = to[ladder.first[i]];
    }
}

function readSacks(read, ladder) {
    const counts = new Uint8Array(ladder.packets);
    for (let i = 0; i < ladder.packets; i++)
        counts[i] = read.number();
    for (let i = 0; i < ladder.packets; i++) {
        if (counts[i] === 0)
            continue;
        const blocks = [];
        for (let k = 0; k < counts[i]; k++) {
            const left = (ladder.ack[ladder.first[i]] + read.difference()) >>> 0;
            blocks.push([left, (left + read.difference()) >>> 0]);
        }
        ladder.sacks.set(i, blocks);
    }
}

/* Packet i has sightings first[i] to first[i + 1] - 1, along its way. Times are nanoseconds since `base`. */
function unpack(scene, bytes) {
    const packets = scene.packets;
    const sightings = scene.sightings;
    const read = reader(bytes);
    const ladder = {
        packets,
        sightings,
        half: new Uint8Array(packets),
        reverse: new Uint8Array(packets),
        hasBytes: new Uint8Array(packets),
        duplicate: new Uint8Array(packets),
        fate: new Uint8Array(packets),
        marks: new Uint8Array(packets),
        finding: new Int32Array(packets),
        copy: new Uint32Array(packets),
        offset: new Float64Array(packets),
        length: new Uint32Array(packets),
        first: new Uint32Array(packets + 1),
        vantage: new Uint8Array(sightings),
        time: new Float64Array(sightings),
        shift: new Float64Array(sightings),
        sacks: new Map(),
    };
    for (let i = 0; i < packets; i++) {
        const head = read.number();
        ladder.half[i] = head & 1;
        ladder.reverse[i] = (head >> 1) & 1;
        ladder.hasBytes[i] = (head >> 2) & 1;
        ladder.duplicate[i] = (head >> 3) & 1;
        ladder.fate[i] = (head >> 4) & 7;
        ladder.marks[i] = head >> 7;
    }
    for (let i = 0; i < packets; i++)
        ladder.finding[i] = read.number() - 1;
    for (let i = 0; i < packets; i++)
        ladder.copy[i] = read.number() + 1;
    for (let i = 0; i < packets; i++)
        ladder.offset[i] = read.difference();
    for (let i = 0; i < packets; i++)
        ladder.length[i] = read.number();
    const next = [0, 0];
    for (let i = 0; i < packets; i++) {
        ladder.offset[i] += next[ladder.half[i]];
        next[ladder.half[i]] = ladder.offset[i] + ladder.length[i];
    }
    for (let i = 0; i < packets; i++)
        ladder.first[i + 1] = ladder.first[i] + read.number();
    for (let k = 0; k < sightings; k++)
        ladder.vantage[k] = read.number();
    readTimes(read, ladder);
    for (const name of ["seq", "ack", "payload", "ipLength", "flags", "window", "ipId", "ttl", "known", "tsval", "tsecr"]) {
        ladder[name] = new Uint32Array(sightings);
        readField(read, ladder, ladder[name]);
    }
    readSacks(read, ladder);
    return ladder;
}

async function loadScene(scene) {
    if (typeof DecompressionStream === "undefined")
        throw new Error("This browser cannot unpack the packets. Firefox 113, Chrome 80, Safari 16.4 and later can.");
    return unpack(scene, await inflate(scene.data));
}
