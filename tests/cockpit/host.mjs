// A host of its own: a hooks directory with hooks, calls as libvirt makes them, and a Cockpit whose session has that
// host's environment. Everything lies below one directory, and every process is ended by its id.
import { execFile, execFileSync, spawn } from "node:child_process";
import { chownSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const { place, here, BINARY, PAGE, out } = process.env;
const DRIVERS = ["daemon", "qemu", "lxc", "libxl", "network", "bhyve"];
const CAPTURES = join(here, "tests/captures/libvirt-9.0.0");

export const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

// Waits until something holds, and says what it waited for if it never does.
export async function until(what, holds, seconds = 60) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
        const value = await holds();
        if (value)
            return value;
        if (Date.now() > end)
            throw new Error(`${what}: not after ${seconds} s`);
        await sleep(50);
    }
}

// The document of a call, for a guest of this name.
export function capture(name, guest) {
    const text = readFileSync(join(CAPTURES, `${name}.xml`), "utf8");
    const escaped = guest.replace(/&/g, "&amp;").replace(/</g, "&lt;");
    return text.replace(/<name>[^<]*<\/name>/, () => `<name>${escaped}</name>`);
}

let port = 9091;

export class Host {
    constructor(name, { settings = "", linked = true, installed = true, user = null } = {}) {
        Object.assign(this, { name, user, installed, port: port++, children: [] });
        // below an etc/libvirt, beside which the definitions of guests lie
        this.root = join(place, name);
        this.hooks = join(this.root, "etc/libvirt/hooks");
        this.bin = join(this.root, "bin");
        for (const directory of ["etc/libvirt/hooks/hooks.d", "state", "run", "save", "bin", "xdg", "conf/cockpit", "runtime", "nothing"])
            mkdirSync(join(this.root, directory), { recursive: true });
        copyFileSync(BINARY, join(this.bin, "hookmux"));
        if (linked)
            for (const driver of DRIVERS)
                symlinkSync(join(this.bin, "hookmux"), join(this.hooks, driver));
        this.settings(settings);
    }

    path(name) { return join(this.root, name) }

    settings(more) {
        const lines = ["session: true", "roots: []", ...["state", "run", "save"].map(name =>
            `${{ state: "state_dir", run: "runtime_dir", save: "save_dir" }[name]}: ${this.path(name)}`)];
        writeFileSync(join(this.hooks, "hookmux.yaml"), `${lines.join("\n")}\n${more}\n`, { mode: 0o644 });
    }

    script(name, text, mode = 0o755) {
        const file = join(this.hooks, name);
        mkdirSync(dirname(file), { recursive: true });
        rmSync(file, { force: true });
        writeFileSync(file, text.startsWith("#!") ? text : `#!/bin/sh\n${text}\n`, { mode });
        return this;
    }

    registration(name, text) {
        writeFileSync(join(this.hooks, "hooks.d", `${name}.yaml`), text, { mode: 0o644 });
        return this;
    }

    defined(guest, driver = "qemu") {
        const directory = this.path(`etc/libvirt/${driver === "network" ? "qemu/networks" : driver}`);
        mkdirSync(directory, { recursive: true });
        const document = driver === "network" ? "network.start.begin" : "qemu.prepare.begin";
        writeFileSync(join(directory, `${guest}.xml`), capture(document, guest), { mode: 0o600 });
    }

    // A call of libvirt's, that begins now; `ended` is its exit status.
    begin(driver, guest, operation, { sub = operation.match(/^(stopped|release)/) ? "end" : "begin", extra = "-", document } = {}) {
        const file = `${driver}.${operation === "migrate" ? "prepare" : operation}.${sub}`;
        const text = document === undefined ? (existsSync(join(CAPTURES, `${file}.xml`)) ? capture(file, guest) : "") : document;
        const child = spawn(join(this.hooks, driver), [guest, operation, sub, extra],
                            { env: { PATH: "/usr/bin:/bin", LC_ALL: "C" }, stdio: ["pipe", "ignore", "ignore"] });
        child.stdin.on("error", () => {});
        child.stdin.end(text);
        const ended = new Promise((resolve, reject) => {
            child.on("error", reject);
            child.on("exit", (status, signal) => resolve(status === null ? signal : status));
        });
        return { pid: child.pid, ended };
    }

    call(...words) { return this.begin(...words).ended }

    // A guest's life until it runs.
    async start(guest) {
        for (const operation of ["prepare", "start", "started"])
            if (await this.call("qemu", guest, operation) !== 0)
                return false;
        return true;
    }

    async stop(guest, reason = "shutdown") {
        await this.call("qemu", guest, "stopped", { extra: reason });
        await this.call("qemu", guest, "release", { extra: reason });
    }

    get env() {
        return {
            PATH: this.installed ? `${this.bin}:/usr/bin:/bin` : "/usr/bin:/bin",
            HOME: this.root, LC_ALL: "C.UTF-8", TMPDIR: process.env.TMPDIR,
            HOOKMUX_HOOKS_DIR: this.hooks,
            XDG_DATA_DIRS: `${this.path("xdg")}:/usr/share`, XDG_CONFIG_DIRS: this.path("conf"), XDG_RUNTIME_DIR: this.path("runtime"),
            ...(process.env.DBUS_SYSTEM_BUS_ADDRESS ? { DBUS_SYSTEM_BUS_ADDRESS: process.env.DBUS_SYSTEM_BUS_ADDRESS } : {}),
        };
    }

    hookmux(...words) {
        return execFileSync(join(this.bin, "hookmux"), words, { env: this.env, encoding: "utf8", maxBuffer: 1 << 28 });
    }

    // The object that a command prints, whatever its exit status.
    json(...words) {
        return new Promise((resolve, reject) => {
            execFile(join(this.bin, "hookmux"), [...words, "--output=json"], { env: this.env, maxBuffer: 1 << 28 }, (error, stdout) => {
                try {
                    resolve(JSON.parse(stdout));
                } catch {
                    reject(error || new Error(`no JSON: ${stdout}`));
                }
            });
        });
    }

    async newest() { return (await this.json("log", "-n", "1")).executions[0] }

    // Cockpit for this host. Its session is that of the caller, without PAM and TLS.
    async cockpit() {
        mkdirSync(this.path("xdg/cockpit"), { recursive: true });
        execFileSync("cp", ["-r", PAGE, this.path("xdg/cockpit/hookmux")]);
        writeFileSync(this.path("conf/cockpit/cockpit.conf"),
                      `[WebService]\nOrigins = http://127.0.0.1:${this.port}\nAllowUnencrypted = true\n`);
        const words = ["/usr/lib/cockpit/cockpit-ws", "--no-tls", "--address=127.0.0.1", `--port=${this.port}`, "--local-session=cockpit-bridge"];
        if (this.user) {
            chownSync(this.path("runtime"), this.user, this.user);
            words.unshift("setpriv", `--reuid=${this.user}`, `--regid=${this.user}`, "--clear-groups", "--");
        }
        if (process.env.COCKPIT_ROOT)
            words.unshift("/usr/sbin/chroot", process.env.COCKPIT_ROOT);
        const child = spawn(words[0], words.slice(1), { env: this.env, cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
        this.children.push(child);
        this.said = "";
        for (const stream of [child.stdout, child.stderr])
            stream.on("data", data => { this.said += data });
        await until(`Cockpit of ${this.name}`, async () => {
            if (child.exitCode !== null)
                throw new Error(`Cockpit of ${this.name} has ended: ${this.said}`);
            return fetch(`http://127.0.0.1:${this.port}/ping`).then(answer => answer.ok, () => false);
        });
        return this;
    }

    address(route = "/") { return `http://127.0.0.1:${this.port}/cockpit/@localhost/hookmux/index.html#${route}` }

    async close() {
        for (const child of this.children) {
            child.kill("SIGTERM");
            await Promise.race([new Promise(resolve => child.exitCode === null ? child.on("exit", resolve) : resolve()), sleep(3000)]);
            if (child.exitCode === null)
                child.kill("SIGKILL");
        }
        writeFileSync(join(out, `cockpit-${this.name}.log`), this.said || "");
    }
}

// The processes whose command line has these words.
export function processes(...words) {
    return readdirSync("/proc").filter(name => /^\d+$/.test(name)).filter(pid => {
        try {
            const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
            return words.every(word => line.includes(word));
        } catch {
            return false;
        }
    }).map(Number);
}
