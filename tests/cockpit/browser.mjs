// The browser: pages that remember what went wrong in them.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { out } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const PHONE = { width: 390, height: 844 };
export const DESK = { width: 1280, height: 800 };

let browser = null;

export async function launch() {
    browser = await chromium.launch({
        executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
        args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"],
    });
    return browser;
}

export const closeBrowser = () => browser && browser.close();

// `data-test`, with more conditions: `t("row", '[data-state="failed"]')`.
export const t = (name, more = "") => `[data-test="${name}"]${more}`;

// One page of the browser, of a size and in a colour scheme of its own.
export async function open(address, { size = DESK, dark = false, settings = {} } = {}) {
    const context = await browser.newContext({ viewport: size, colorScheme: dark ? "dark" : "light", locale: "en-GB", timezoneId: "UTC",
                                               permissions: ["clipboard-read", "clipboard-write"], ...settings });
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    page.errors = [];
    page.on("console", message => {
        if (message.type() === "error")
            page.errors.push(message.text());
    });
    page.on("pageerror", error => page.errors.push(String(error.stack || error)));
    page.on("dialog", dialog => {
        page.errors.push(`a dialog of the browser: ${dialog.message()}`);
        dialog.dismiss();
    });
    await page.goto(address);
    return page;
}

// Waits until a view has its data.
export const ready = (page, view) => page.waitForSelector(t("view", `[data-view="${view}"][data-ready]`));

export const picture = (page, name, more = {}) => page.screenshot({ path: join(out, "pictures", `${name}.png`), animations: "disabled", ...more });

// What axe-core finds that is serious or critical.
export async function accessibility(page) {
    await page.evaluate(axe);
    const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    return found.violations.filter(one => ["serious", "critical"].includes(one.impact))
        .map(one => `${one.id}: ${one.help}: ${one.nodes.slice(0, 5).map(node => `${node.target.join(" ")} (${node.failureSummary.replace(/\s+/g, " ")})`).join("; ")}`);
}

// Whether the page is no wider than the window.
export const overflow = page => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
