/* Where things are in the ladder: time becomes height. Usually each event gets room of its own, and more of it the
 * longer nothing happened before (by the logarithm): so a packet that took microseconds and a pause of seconds can be
 * looked at together. With a true scale height is time. Heights are at zoom 1; drawing multiplies. */

const GAP_LABEL_NS = 50e6;
const TRUE_SCALE_NS = 1e4; /* nanoseconds a pixel */

function evenHeights(times) {
    const heights = new Float64Array(times.length);
    let height = 0;
    for (let i = 1; i < times.length; i++) {
        const apart = times[i] - times[i - 1];
        height += 5 + 5 * Math.log10(1 + apart / 1000);
        heights[i] = height;
    }
    return heights;
}

function eventTimes(ladder) {
    const sorted = Float64Array.from(ladder.time).sort();
    let count = 0;
    for (let i = 0; i < sorted.length; i++)
        if (i === 0 || sorted[i] !== sorted[i - 1])
            sorted[count++] = sorted[i];
    return sorted.slice(0, count);
}

/* The last index whose value is at most `value`; -1 where none is. */
function lastAtMost(list, value) {
    let low = 0;
    let high = list.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (list[middle] <= value)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

function makePlaces(scene, trueScale) {
    const { ladder } = scene;
    const times = eventTimes(ladder);
    const heights = trueScale ? times.map((t) => (t - times[0]) / TRUE_SCALE_NS) : evenHeights(times);
    const y = new Float64Array(ladder.sightings);
    for (let k = 0; k < ladder.sightings; k++)
        y[k] = heights[lastAtMost(times, ladder.time[k])];
    /* How far down anything reaches that set out up to here: to find what crosses a given height. */
    const reach = new Float64Array(ladder.packets);
    let deepest = 0;
    for (let i = 0; i < ladder.packets; i++) {
        for (let k = ladder.first[i]; k < ladder.first[i + 1]; k++)
            deepest = Math.max(deepest, y[k]);
        reach[i] = deepest;
    }
    return { trueScale, times, heights, y, reach, total: heights.length ? heights[heights.length - 1] : 0 };
}

/* Packets that may cross heights from `top` to `bottom`: [first, end). They are in order of setting out. */
function packetsBetween(scene, places, top, bottom) {
    const { ladder } = scene;
    let low = 0;
    let high = ladder.packets;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (places.reach[middle] < top)
            low = middle + 1;
        else
            high = middle;
    }
    let end = low;
    let over = ladder.packets;
    while (end < over) {
        const middle = (end + over) >> 1;
        if (places.y[ladder.first[middle]] <= bottom)
            end = middle + 1;
        else
            over = middle;
    }
    return [low, end];
}

/* The columns: where each vantage point's line is, from left to right. Where there is room, labels stand outside of the
 * outermost lines, else at the arrows. */
function makeColumns(width, vantages) {
    const narrow = width < 560;
    const outside = width >= 680;
    const left = narrow ? 74 : 92;
    const before = outside ? 180 : narrow ? 30 : 48;
    const behind = outside ? 146 : before;
    const least = outside ? 72 : narrow ? 84 : 100;
    const room = width - left - before - behind - 14;
    const pitch = vantages > 1 ? Math.max(least, room / (vantages - 1)) : Math.max(least, room / 2);
    const start = left + before + (vantages > 1 ? 0 : Math.max(0, room) / 2);
    const x = Array.from({ length: vantages }, (_, v) => start + pitch * v);
    const total = Math.max(width, left + before + behind + pitch * (vantages - 1) + 14);
    return { left, outside, x, pitch, stub: Math.min(44, before * 0.7), total };
}
