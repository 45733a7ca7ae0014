// The shell keeps the choice of light and dark in the browser's storage; each page follows it by itself.
const KEY = "shell:style";

export function followTheme() {
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    const apply = () => {
        const choice = localStorage.getItem(KEY) || "auto";
        const dark = choice === "dark" || (choice === "auto" && system.matches);
        document.documentElement.classList.toggle("pf-v6-theme-dark", dark);
    };
    window.addEventListener("storage", event => event.key === KEY && apply());
    window.addEventListener("cockpit-style", apply);
    system.addEventListener("change", apply);
    apply();
}
