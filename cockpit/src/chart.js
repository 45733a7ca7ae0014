// The calls of the last 24 hours as bars, an hour each: how many, and how many of them failed.
import { h, svg } from "./dom.js";
import { _, format, language, ngettext } from "./text.js";

const [WIDTH, HEIGHT] = [480, 96];

// A round number at or above the highest bar.
export function ceiling(highest) {
    if (highest <= 4)
        return 4;
    const power = 10 ** Math.floor(Math.log10(highest));
    return [1, 2, 5, 10].map(factor => factor * power).find(size => size >= highest);
}

const clock = date => date.toLocaleTimeString(language(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function words(hour) {
    const begin = new Date(hour.began);
    const text = format(ngettext("$0: $1 call", "$0: $1 calls", hour.calls), `${clock(begin)} – ${clock(new Date(begin.getTime() + 3600000))}`, hour.calls);
    const failed = hour.failed ? format(_(", $0 failed"), hour.failed) : "";
    return text + failed + (hour.lost ? format(_(", $0 lost"), hour.lost) : "");
}

export function chart(hours) {
    const top = ceiling(Math.max(...hours.map(hour => hour.calls)));
    const slot = WIDTH / hours.length;
    const width = slot * 0.68;
    const tall = calls => (HEIGHT - 2) * calls / top;
    const bar = (x, y, height, kind) => height > 0 && svg("rect", { x, y, width, height: Math.max(height, 1.5), class: kind });
    const columns = hours.map((hour, place) => {
        const x = place * slot + (slot - width) / 2;
        const bad = Math.min(hour.failed + hour.lost, hour.calls);
        const failed = tall(bad);
        const rest = tall(hour.calls - bad);
        return svg("g", { class: "chart-hour" },
                   svg("title", null, words(hour)),
                   svg("rect", { x: place * slot, y: 0, width: slot, height: HEIGHT, class: "chart-hit" }),
                   bar(x, HEIGHT - rest - failed - (failed ? 1 : 0), rest, "chart-good"),
                   bar(x, HEIGHT - failed, failed, "chart-failed"));
    });
    const ticks = hours.map((hour, place) => [new Date(hour.began), place]).filter(([, place]) => place % 6 === 0)
            .map(([date, place]) => h("span.chart-tick", { style: { "inset-inline-start": `${100 * place / hours.length}%` } }, clock(date)));
    const calls = hours.reduce((sum, hour) => sum + hour.calls, 0);
    const failed = hours.reduce((sum, hour) => sum + hour.failed, 0);
    return h("div.chart", { "data-test": "day-chart" },
             h("span.chart-top", { "aria-hidden": "true" }, String(top)),
             svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": format(_("Calls of the last 24 hours, by the hour: $0 in all, $1 failed"), calls, failed) },
                 svg("line", { x1: 0, x2: WIDTH, y1: 0.5, y2: 0.5, class: "chart-line" }),
                 svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2, class: "chart-line" }),
                 columns,
                 svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: "chart-base" })),
             h("div.chart-axis", { "aria-hidden": "true" }, ticks));
}
