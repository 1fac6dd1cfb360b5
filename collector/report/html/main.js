/* Starts what needs a script: the search among the flows, and the packets. */

function flowTitle(page, packed) {
    const flow = page.report.flows.find((one) => one.id === packed.flow);
    const ends = flow ? flow.app + " " + flow.client + " \u2192 " + flow.server : "";
    const lost = packed.lost > 0 ? ", " + groupDigits(packed.lost) + " lost" : "";
    return "Flow " + packed.flow + ": " + ends + lost + " (" + groupDigits(packed.packets) + " packets)";
}

function startLadder(page) {
    const choice = document.getElementById("ladder-flow");
    const vantages = page.report.vantages.map((vantage) => vantage.name);
    const ladder = makeView(page);
    const loaded = new Map();

    page.ladder.scenes.forEach((packed, n) => {
        const option = choice.appendChild(element("option", flowTitle(page, packed)));
        option.value = String(n);
    });

    /* `wanted`: a finding whose first packet is to be chosen; -1 the first loss of any. */
    async function showScene(n, wanted) {
        choice.value = String(n);
        try {
            if (!loaded.has(n))
                loaded.set(n, makeScene(page.ladder.scenes[n], await loadScene(page.ladder.scenes[n]), vantages));
        } catch (error) {
            const message = document.getElementById("ladder-error");
            message.textContent = error.message;
            message.hidden = false;
            document.getElementById("ladder-body").hidden = true;
            return;
        }
        if (choice.value !== String(n))
            return; /* another one was chosen meanwhile */
        const scene = loaded.get(n);
        const first = scene.losses.find((i) => wanted < 0 || scene.ladder.finding[i] === wanted);
        ladder.show(scene, first !== undefined ? first : scene.losses.length ? scene.losses[0] : -1);
        document.getElementById("ladder-view").dataset.scene = String(n);
    }

    function showFlow(id, wanted) {
        const n = page.ladder.scenes.findIndex((packed) => packed.flow === id);
        if (n < 0)
            return;
        showScene(n, wanted);
        document.getElementById("ladder").scrollIntoView();
        document.getElementById("ladder-view").focus({ preventScroll: true });
    }

    choice.addEventListener("change", () => showScene(Number(choice.value), -1));
    document.getElementById("ladder-previous").addEventListener("click", () => ladder.stepLoss(-1));
    document.getElementById("ladder-next").addEventListener("click", () => ladder.stepLoss(1));
    document.getElementById("ladder-in").addEventListener("click", () => ladder.zoomBy(ZOOM_STEP, 200));
    document.getElementById("ladder-out").addEventListener("click", () => ladder.zoomBy(1 / ZOOM_STEP, 200));
    document.getElementById("ladder-reset").addEventListener("click", () => ladder.zoomBy(1 / ladder.view.zoom, 200));
    const trueScale = document.getElementById("ladder-true");
    trueScale.addEventListener("change", () => ladder.setTrueScale(trueScale.checked));
    for (const button of document.querySelectorAll("button[data-finding]")) {
        const wanted = Number(button.dataset.finding);
        const ids = new Set(page.report.findings[wanted].flows);
        const packed = page.ladder.scenes.find((scene) => ids.has(scene.flow));
        button.addEventListener("click", () => showFlow(packed.flow, wanted));
    }
    showScene(0, -1);
    return { ladder, showFlow };
}

function start() {
    document.documentElement.classList.add("running");
    const page = JSON.parse(document.getElementById("data").textContent);
    const hasLadder = page.ladder && page.ladder.scenes.length > 0;
    const started = hasLadder ? startLadder(page) : null;
    const ladderFlows = new Set(hasLadder ? page.ladder.scenes.map((packed) => packed.flow) : []);
    startFlows(page, ladderFlows, (id) => started.showFlow(id, -1));
    return started ? started.ladder : null;
}

const droppoint = { ladder: start() };
