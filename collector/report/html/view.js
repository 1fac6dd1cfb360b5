/* The ladder's view: scrolling, zooming, choosing packets by pointer and keys. */

const SIZE_MOST = 8e6; /* pixels that browsers can scroll; of more, a pixel scrolled is several */
const ZOOM_STEP = 1.5;

function makeView(page) {
    const box = document.getElementById("ladder-view");
    const size = document.getElementById("ladder-size");
    const canvas = document.getElementById("ladder-canvas");
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    const view = {
        scene: null, places: null, columns: null, canvas: canvas.getContext("2d"),
        zoom: 1, top: 0, left: 0, full: 0, chosen: -1, trueScale: false,
        colours: dark.matches ? PALETTES.dark : PALETTES.light,
    };
    let waiting = false;
    let expected = 0; /* scrollTop as we set it */

    /* ---- sizes ---- */

    const viewHeight = () => box.clientHeight - HEADER;
    const scrolled = () => Math.max(1, view.full - viewHeight());

    function measure() {
        if (!view.scene)
            return;
        view.columns = makeColumns(box.clientWidth, view.scene.vantages.length);
        view.full = view.places.total * view.zoom + 80;
        size.style.width = view.columns.total + "px";
        size.style.height = Math.min(view.full + HEADER, SIZE_MOST) + "px";
        resizeCanvas();
        moveTo(view.top);
        drawNow(); /* setting its size has wiped the canvas */
    }

    function resizeCanvas() {
        const ratio = window.devicePixelRatio || 1;
        const width = Math.round(box.clientWidth * ratio);
        const height = Math.round(box.clientHeight * ratio);
        if (canvas.width === width && canvas.height === height)
            return;
        canvas.width = width;
        canvas.height = height;
        canvas.style.width = box.clientWidth + "px";
        canvas.style.height = box.clientHeight + "px";
    }

    /* Scrolls so that height `top` (in zoomed pixels) is at the upper edge. */
    function moveTo(top) {
        view.top = Math.min(Math.max(0, top), scrolled());
        const reach = size.clientHeight - box.clientHeight;
        expected = Math.round(view.top * (reach > 0 ? reach / scrolled() : 0));
        if (view.full + HEADER <= SIZE_MOST)
            expected = Math.round(view.top);
        box.scrollTop = expected;
        redraw();
    }

    function redraw() {
        if (waiting || !view.scene)
            return;
        waiting = true;
        window.requestAnimationFrame(() => {
            waiting = false;
            drawNow();
        });
    }

    function drawNow() {
        if (view.scene)
            draw(view, box.clientWidth, box.clientHeight, window.devicePixelRatio || 1);
    }

    box.addEventListener("scroll", () => {
        view.left = box.scrollLeft;
        if (Math.abs(box.scrollTop - expected) > 1) {
            const reach = size.clientHeight - box.clientHeight;
            view.top = view.full + HEADER <= SIZE_MOST ? box.scrollTop : box.scrollTop * scrolled() / Math.max(1, reach);
            expected = box.scrollTop;
        }
        redraw();
    });
    new ResizeObserver(measure).observe(box);

    /* ---- zoom ---- */

    /* Keeps what is at `y` (canvas pixels below the names) where it is. */
    function zoomBy(factor, y) {
        if (!view.scene)
            return;
        const before = view.zoom;
        const least = Math.min(0.5, viewHeight() / (view.places.total + 80));
        view.zoom = Math.min(Math.max(view.zoom * factor, least), view.trueScale ? 1e4 : 16);
        const at = (view.top + y) / before;
        view.top = at * view.zoom - y;
        measure();
    }

    box.addEventListener("wheel", (event) => {
        if (event.ctrlKey) {
            event.preventDefault();
            zoomBy(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, Math.max(0, event.offsetY - ORIGIN));
        } else if (view.full + HEADER > SIZE_MOST && event.deltaY) {
            event.preventDefault();
            moveTo(view.top + event.deltaY);
        }
    }, { passive: false });

    /* ---- choosing ---- */

    /* Where a packet sets out, of a lost one where it is lost. */
    function heightOf(i) {
        const { first } = view.scene.ladder;
        return view.places.y[isLost(view.scene.ladder, i) ? first[i + 1] - 1 : first[i]] * view.zoom;
    }

    function choose(i, mayMove) {
        view.chosen = i;
        showDetails(page, view.scene, i, (other) => choose(other, true));
        box.dataset.chosen = String(i);
        if (i >= 0 && mayMove) {
            const y = heightOf(i);
            if (y < view.top + 20 || y > view.top + viewHeight() - 60)
                moveTo(y - viewHeight() / 3);
        }
        showPlace();
        redraw();
    }

    /* Which loss a packet is, or is a piece of; -1: none. */
    function lossAt(i) {
        const { losses, ladder } = view.scene;
        const at = losses.indexOf(i);
        return at >= 0 || i < 0 || !isLost(ladder, i) ? at : losses.findIndex((k) => samePacket(ladder, i, k));
    }

    function showPlace() {
        const losses = view.scene.losses;
        const at = lossAt(view.chosen);
        const all = view.scene.packed.lost;
        const of = groupDigits(losses.length) + (all > losses.length ? " shown, " + groupDigits(all) + " in all" : "");
        document.getElementById("ladder-place").textContent =
            losses.length === 0 ? "no loss" : at >= 0 ? (at + 1) + " of " + of : of;
        document.getElementById("ladder-previous").disabled = losses.length === 0;
        document.getElementById("ladder-next").disabled = losses.length === 0;
    }

    /* From what is chosen, else from what is in view, to the next loss or the one before; round at the ends. */
    function stepLoss(step) {
        const losses = view.scene ? view.scene.losses : [];
        if (losses.length === 0)
            return;
        let at = lossAt(view.chosen);
        if (at < 0) {
            const middle = view.top + viewHeight() / 3;
            at = losses.findIndex((i) => (view.chosen >= 0 ? i > view.chosen : heightOf(i) > middle));
            at = (at < 0 ? losses.length : at) - (step > 0 ? 1 : 0);
        }
        choose(losses[(at + step + losses.length) % losses.length], true);
    }

    function stepPacket(step) {
        const count = view.scene.ladder.packets;
        let next = view.chosen + step;
        if (view.chosen < 0)
            next = packetsBetween(view.scene, view.places, view.top / view.zoom, Infinity)[0];
        choose(Math.min(Math.max(next, 0), count - 1), true);
    }

    function distance([x1, y1, x2, y2], x, y) {
        const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
        const along = length ? Math.min(1, Math.max(0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length)) : 0;
        return Math.hypot(x - x1 - along * (x2 - x1), y - y1 - along * (y2 - y1));
    }

    /* How near a packet is to a point of the canvas. Lost ones win over others, and their crosses over lines. */
    function away(i, x, y) {
        const { lines, ending } = hops(view, i);
        let nearest = Infinity;
        for (const line of lines)
            nearest = Math.min(nearest, distance(line, x, y));
        if (ending !== "cross")
            return nearest;
        const [, , endX, endY] = lines[lines.length - 1];
        return Math.min(nearest - 2, Math.hypot(x - endX, y - endY) - 5);
    }

    /* The packet nearest to a point of the canvas; -1: none is near. */
    function packetAt(x, y) {
        const top = (view.top + y - ORIGIN - 40) / view.zoom;
        const [from, to] = packetsBetween(view.scene, view.places, top, (view.top + y - ORIGIN + 40) / view.zoom);
        let best = -1;
        let nearest = 9;
        for (let i = from; i < to; i++) {
            const found = away(i, x + view.left, y);
            if (found < nearest) {
                nearest = found;
                best = i;
            }
        }
        return best;
    }

    canvas.addEventListener("click", (event) => {
        if (!view.scene || event.offsetY < HEADER)
            return;
        if (event.offsetX > box.clientWidth - 14)
            moveTo((event.offsetY - HEADER) / viewHeight() * view.full - viewHeight() / 2);
        else
            choose(packetAt(event.offsetX, event.offsetY), false);
    });

    const keys = {
        ArrowDown: () => stepPacket(1),
        ArrowUp: () => stepPacket(-1),
        n: () => stepLoss(1),
        p: () => stepLoss(-1),
        "+": () => zoomBy(ZOOM_STEP, viewHeight() / 3),
        "=": () => zoomBy(ZOOM_STEP, viewHeight() / 3),
        "-": () => zoomBy(1 / ZOOM_STEP, viewHeight() / 3),
        0: () => zoomBy(1 / view.zoom, viewHeight() / 3),
        PageDown: () => moveTo(view.top + viewHeight() * 0.9),
        PageUp: () => moveTo(view.top - viewHeight() * 0.9),
        Home: () => moveTo(0),
        End: () => moveTo(view.full),
        Escape: () => choose(-1, false),
    };
    box.addEventListener("keydown", (event) => {
        const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
        if (!act || !view.scene || event.ctrlKey || event.metaKey || event.altKey)
            return;
        event.preventDefault();
        act();
    });

    /* ---- scenes and scales ---- */

    function lay() {
        view.places = makePlaces(view.scene, view.trueScale);
        view.zoom = 1;
        view.top = 0;
        measure();
    }

    function show(scene, chosen) {
        view.scene = scene;
        view.chosen = -1;
        lay();
        choose(chosen, true);
    }

    function setTrueScale(on) {
        view.trueScale = on;
        if (!view.scene)
            return;
        lay();
        if (view.chosen >= 0)
            moveTo(heightOf(view.chosen) - viewHeight() / 3);
    }

    function recolour(palette) {
        view.colours = palette;
        drawNow();
    }

    dark.addEventListener("change", () => recolour(dark.matches ? PALETTES.dark : PALETTES.light));
    window.addEventListener("beforeprint", () => recolour(PALETTES.light));
    window.addEventListener("afterprint", () => recolour(dark.matches ? PALETTES.dark : PALETTES.light));

    /* Where a packet's line ends, in pixels of the page: what a test clicks at. */
    function pointOf(i) {
        const { lines } = hops(view, i);
        const [, , x, y] = lines[lines.length - 1];
        const area = canvas.getBoundingClientRect();
        return { x: area.left + x - view.left, y: area.top + y };
    }

    return { view, show, choose, stepLoss, zoomBy, moveTo, setTrueScale, heightOf, pointOf, drawNow };
}
