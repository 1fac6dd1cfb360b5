/* The table of flows, searched as one types. */

const FLOWS_AT_ONCE = 200;

function flowText(flow) {
    const seen = Object.entries(flow.seen_as).map(([where, as]) => where + " " + as.client + " " + as.server);
    return [flow.id, flow.app, flow.client, flow.server, ...seen].join(" ").toLowerCase();
}

function flowRow(flow, inLadder, showInLadder) {
    const row = element("tr");
    const number = row.appendChild(element("td", undefined, "n"));
    if (inLadder) {
        const button = number.appendChild(element("button", String(flow.id)));
        button.type = "button";
        button.title = "Show its packets";
        button.addEventListener("click", () => showInLadder(flow.id));
    } else {
        number.textContent = String(flow.id);
    }
    row.appendChild(element("td", flow.app));
    row.appendChild(element("td", flow.client, "mono"));
    row.appendChild(element("td", flow.server, "mono"));
    for (const value of [flow.lost_packets || 0, flow.lost_bytes || 0])
        row.appendChild(element("td", groupDigits(value), value > 0 ? "n bad" : "n"));
    const seen = row.appendChild(element("td"));
    for (const [where, as] of Object.entries(flow.seen_as)) {
        const line = seen.appendChild(element("div", "at "));
        line.appendChild(element("bdi", where));
        line.appendChild(document.createTextNode(": "));
        line.appendChild(element("span", as.client + " \u2192 " + as.server, "mono"));
    }
    return row;
}

function startFlows(page, ladderFlows, showInLadder) {
    const search = document.getElementById("flow-search");
    if (!search)
        return;
    const lossy = document.getElementById("flow-lossy");
    const more = document.getElementById("flow-more");
    const body = document.querySelector("#flows tbody");
    const flows = page.report.flows.slice().sort((a, b) => (b.lost_packets || 0) - (a.lost_packets || 0) || a.id - b.id);
    const texts = flows.map(flowText);
    let shown = FLOWS_AT_ONCE;

    function render() {
        const words = search.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
        const found = flows.filter((flow, n) => (!lossy.checked || flow.lost_packets > 0) &&
            words.every((word) => texts[n].includes(word)));
        body.replaceChildren(...found.slice(0, shown).map((flow) =>
            flowRow(flow, ladderFlows.has(flow.id), showInLadder)));
        const kept = page.flows > flows.length ? "; this page lists " + groupDigits(flows.length) + " of them" : "";
        document.getElementById("flow-count").textContent =
            groupDigits(found.length) + " of " + groupDigits(page.flows) + " flows" + kept;
        more.hidden = found.length <= shown;
    }

    function restart() {
        shown = FLOWS_AT_ONCE;
        render();
    }

    search.addEventListener("input", restart);
    lossy.addEventListener("change", restart);
    more.addEventListener("click", () => {
        shown += 5 * FLOWS_AT_ONCE;
        render();
    });
    render();
}
