/* What one flow's packets mean: names for them, which were lost, what numbers to count from. */

const FLAG_NAMES = [[2, "SYN"], [1, "FIN"], [4, "RST"], [8, "PSH"], [16, "ACK"], [32, "URG"], [64, "ECE"], [128, "CWR"]];

function flagNames(flags) {
    return FLAG_NAMES.filter(([bit]) => flags & bit).map(([, name]) => name).join(" ");
}

function isLost(ladder, i) {
    return (ladder.marks[i] & (MARK.lost | MARK.lostBeyond)) !== 0;
}

/* A retransmission of what was lost before it could come to the path: nobody saw that itself. */
function showsLoss(ladder, i) {
    return (ladder.marks[i] & MARK.showsBefore) !== 0;
}

/* Ended before the last vantage point, and is not counted as lost. */
function isOpen(ladder, i, vantages) {
    const last = ladder.vantage[ladder.first[i + 1] - 1];
    return !isLost(ladder, i) && !ladder.duplicate[i] && last !== (ladder.reverse[i] ? 0 : vantages - 1);
}

function isAgain(ladder, i) {
    return ladder.copy[i] > 1;
}

function flagSpan(flags) {
    return (flags & 2 ? 1 : 0) + (flags & 1 ? 1 : 0);
}

/* The sequence number at which each half's stream begins for us, as each vantage point sees it (a middlebox may rewrite
 * them). Only a packet that is seen whole tells: a piece of a large one may begin anywhere in it. */
function streamOrigins(ladder, vantages) {
    const origins = [new Array(vantages).fill(null), new Array(vantages).fill(null)];
    let missing = 2 * vantages;
    for (let i = 0; i < ladder.packets && missing > 0; i++) {
        if (!ladder.hasBytes[i])
            continue;
        const own = origins[ladder.half[i]];
        for (let k = ladder.first[i]; k < ladder.first[i + 1]; k++) {
            if (own[ladder.vantage[k]] !== null || ladder.payload[k] + flagSpan(ladder.flags[k]) !== ladder.length[i])
                continue;
            own[ladder.vantage[k]] = (ladder.seq[k] - (ladder.offset[i] % 4294967296)) >>> 0;
            missing--;
        }
    }
    return origins;
}

function groupDigits(number) {
    return String(Math.round(number)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/* A sequence or acknowledgement number of a half's stream, as a vantage point saw it, counted from the stream's beginning;
 * as it is where that is not known. */
function relative(scene, half, vantage, number) {
    const own = scene.origins[half][vantage];
    const origin = own !== null ? own : scene.origins[half].find((other) => other !== null);
    return origin === undefined ? number : (number - origin) >>> 0;
}

function packetTitle(scene, i) {
    const { ladder, tcp } = scene;
    const k = ladder.first[i];
    if (!tcp)
        return "datagram";
    return flagNames(ladder.flags[k]) || "no flags";
}

/* What stands at the arrow: "SYN ACK", "PSH seq 1 len 1448" (that data acknowledges goes without saying), "ACK 1449". */
function packetLabel(scene, i) {
    const { ladder, tcp } = scene;
    const k = ladder.first[i];
    if (!tcp)
        return groupDigits(ladder.payload[k]) + " bytes";
    const payload = ladder.hasBytes[i] ? ladder.length[i] - flagSpan(ladder.flags[k]) : 0;
    const parts = [payload > 0 ? flagNames(ladder.flags[k] & ~16) : packetTitle(scene, i)];
    if (payload > 0)
        parts.push("seq " + ladder.offset[i] + " len " + payload);
    else if (ladder.hasBytes[i] && ladder.offset[i] > 0)
        parts.push("seq " + ladder.offset[i]);
    if (payload <= 0 && ladder.known[k] & 1 && ladder.flags[k] & 16 && !(ladder.flags[k] & 2))
        parts.push((parts[0] === "ACK" ? "" : "ack ") + relative(scene, 1 - ladder.half[i], ladder.vantage[k], ladder.ack[k]));
    if (ladder.sacks.has(i))
        parts.push("SACK");
    if (ladder.known[k] & 1 && ladder.window[k] === 0 && !(ladder.flags[k] & 4))
        parts.push("window 0");
    if (isAgain(ladder, i))
        parts.unshift("\u21bb" + ladder.copy[i]);
    return parts.filter((part) => part !== "").join(" ");
}

/* Two pieces of what was one packet where it was seen last: one lost packet, as the report counts. */
function samePacket(ladder, i, k) {
    const a = ladder.first[i + 1] - 1;
    const b = ladder.first[k + 1] - 1;
    return ladder.half[i] === ladder.half[k] && ["vantage", "time", "seq", "payload"].every((name) => ladder[name][a] === ladder[name][b]);
}

/* Everything that drawing needs of one flow. `losses`: the first piece of each lost packet. */
function makeScene(packed, ladder, vantages) {
    const losses = [];
    for (let i = 0; i < ladder.packets; i++)
        if ((isLost(ladder, i) || showsLoss(ladder, i)) && !losses.slice(-64).some((k) => samePacket(ladder, i, k)))
            losses.push(i);
    const scene = { packed, ladder, vantages, losses, tcp: packed.tcp };
    scene.origins = packed.tcp ? streamOrigins(ladder, vantages.length) : [[], []];
    return scene;
}
