// Makes dist/, the directory that Cockpit serves: `npm ci --ignore-scripts && node build.mjs`.
// `--watch` builds again after each change.
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { catalogue } from "./po/catalogue.mjs";
import { slim } from "./slim.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

// esbuild's program loses its x bit where packages are unpacked without install scripts.
const platform = join(here, "node_modules/@esbuild", `${process.platform}-${process.arch}`, "bin/esbuild");
if (existsSync(platform))
    chmodSync(platform, 0o755);
const esbuild = await import("esbuild");

// PatternFly's base has fonts, icons and pictures that Cockpit serves already, or that the page doesn't use.
const patternfly = {
    name: "patternfly",
    setup(build) {
        build.onLoad({ filter: /patternfly-base\.css$/ }, ({ path }) => {
            const css = readFileSync(path, "utf8")
                    .replace(/@font-face\s*\{[^}]*\}/g, "")
                    .replace(/url\("\.\/assets\/[^"]*"\)/g, "none")
                    .replace(/^[^\n{}@]*\.(?:fa[srb]?\b|fa-|pf-v6-pficon)[^{}]*\{[^{}]*\}/gm, "");
            return { contents: css, loader: "css" };
        });
        // The bundle has settings of themes that Cockpit doesn't have, and of parts that the page doesn't use.
        build.onEnd(result => {
            const css = join(dist, "index.css");
            if (!result.errors.length)
                writeFileSync(css, slim(readFileSync(css, "utf8"), readFileSync(join(dist, "index.js"), "utf8") + readFileSync(join(dist, "index.html"), "utf8")));
        });
        // What lies in Cockpit's own static directory is named as it is.
        build.onResolve({ filter: /^\.\.\/\.\.\/static\// }, ({ path }) => ({ path, external: true }));
    },
};

function copy() {
    for (const name of ["manifest.json", "index.html", "LICENSE.PatternFly.txt"])
        cpSync(join(here, name), join(dist, name));
    for (const name of readdirSync(join(here, "po")).filter(file => file.endsWith(".po"))) {
        const language = name.slice(0, -3);
        writeFileSync(join(dist, `po.${language}.js`), catalogue(readFileSync(join(here, "po", name), "utf8"), language));
    }
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
copy();
const options = {
    absWorkingDir: here,
    entryPoints: ["src/index.js", "src/index.css"],
    outdir: dist,
    bundle: true,
    minify: true,
    format: "iife",
    target: ["es2021"],
    legalComments: "linked",
    logLevel: "info",
    plugins: [patternfly],
};
if (process.argv.includes("--watch"))
    await (await esbuild.context(options)).watch();
else
    await esbuild.build(options);
