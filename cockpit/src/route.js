// Where the page is: Cockpit keeps path and options behind the `#`.
const cockpit = globalThis.cockpit;

export const here = () => ({ path: cockpit.location.path, options: cockpit.location.options });

export const href = (path, options) => `#${cockpit.location.encode(path, options)}`;

export const go = (path, options) => cockpit.location.go(path, options);

// The same place with other options; no new step for the button "back".
export const replace = (path, options) => cockpit.location.replace(path, options);

export const onmoved = listener => cockpit.addEventListener("locationchanged", listener);

// A guest in the page Machines, in the form that its own list uses.
const machine = name => `/machines#vm?name=${encodeURIComponent(name)}&connection=system`;

// Whether Cockpit has that page; where it doesn't say so, it is tried.
export const hasMachines = () => !cockpit.manifests || Object.hasOwn(cockpit.manifests, "machines");

export const toMachine = name => cockpit.jump(machine(name));
