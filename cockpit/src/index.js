// The page of hookmux in Cockpit.
//
// Routes (after `#` of the page, or after `/hookmux#` in Cockpit's shell):
//   /                      Overview
//   /calls                 Calls; its filters are options: ?guest=web1&driver=qemu&what=after_vm_start&only=failed&since=1h
//   /call/ID               one call
//   /guests                choose a guest
//   /guests/NAME           the life of a guest
//   /hooks                 hooks per event, with enable and disable
//   /check                 findings
//
// Hooks for tests: `data-test="NAME"`, and more data on the same element:
//   everywhere  nav-overview nav-calls nav-guests nav-hooks nav-check (links; aria-current="page" on the one that is shown),
//               check-count (badge of errors and warnings), view (the content; data-view=NAME, data-ready once its data are there),
//               live (data-state: live, connecting, paused, off), bypass-banner, bypass-end (button in it),
//               failure (a command that failed; failure-message, failure-retry), limited-access, not-installed, not-linked, no-call-yet,
//               announce (the live region for screen readers), dialog (dialog-error, dialog-confirm, dialog-cancel)
//   overview    status-version, status-entries, entry (data-driver, data-state), status-hooks, status-queue, status-undo,
//               running (list), running-call (data-id), day-chart, day-calls, day-failed, day-lost, day-detached, last-failure, recent (list), next-step, queue-failures,
//               bypass-open (opens the dialog: bypass-for, bypass-guest, bypass-reason)
//   calls       filter-guest, filter-driver, filter-what, filter-only-all|failed|lost|running, filter-since, filter-clear,
//               row (data-id, data-state; row-link leads to the call), square (data-state), calls-older, calls-empty
//   call        call-state (data-state), call-facts, run (data-hook, data-state), run-bar, run-wait, run-limit, output (data-stream),
//               output-more, document-diff, not-run (data-hook), retry, retry-dry (dialog), download, stop, machines-link, related (data-id)
//   guests      guest-name, guest-show, guest-link (data-guest), part (data-action), lane-call (data-operation), step (data-hook, data-state)
//   hooks       hook (data-hook, data-state), hook-enable, hook-disable, hook-toggle, hooks-search, hooks-events-some|all, event (data-event; event-toggle)
//   check       finding (data-code, data-severity), finding-fix, finding-copy, finding-mend, check-again, check-clean
import { followTheme } from "./theme.js";
import { start } from "./shell.js";

const { language, language_direction: direction } = globalThis.cockpit;
document.documentElement.lang = (language || "en").replace("_", "-");
document.documentElement.dir = direction || "ltr";
followTheme();
start(document.getElementById("app"));
