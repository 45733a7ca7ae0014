//! The daemon's own start, reload and shutdown.

use crate::host::Host;

const EVENTS: &[&str] = &[
    "before_daemon_start",
    "before_vdsm_start",
    "before_daemon_stop",
    "after_vdsm_stop",
    "before_daemon_reload",
];

fn log_daemon_events(host: &Host, status: u8) {
    for event in EVENTS {
        host.script(
            &format!("{event}/10-x"),
            &format!(
                "say \"$HOOKMUX_EVENT $HOOKMUX_DRIVER $HOOKMUX_OBJECT $HOOKMUX_OPERATION $HOOKMUX_DAEMON\"\n\
                 exit {status}"
            ),
        );
    }
}

#[test]
fn start_reload_and_shutdown_each_run_their_scripts() {
    let host = Host::new();
    log_daemon_events(&host, 0);

    host.reload_daemon();
    host.wait_for_log("before_daemon_reload daemon - reload libvirtd");
    assert_eq!(host.log().len(), 1);

    host.clear_log();
    host.stop_daemon();
    let stop = [
        "before_daemon_stop daemon - shutdown libvirtd",
        "after_vdsm_stop daemon - shutdown libvirtd",
    ];
    assert_eq!(host.log(), stop);

    host.clear_log();
    host.start_daemon();
    let start = [
        "before_daemon_start daemon - start libvirtd",
        "before_vdsm_start daemon - start libvirtd",
    ];
    assert_eq!(host.log(), start);
}

#[test]
fn a_failing_hook_of_the_daemon_is_in_its_log_and_stops_nothing() {
    let host = Host::new();
    log_daemon_events(&host, 3);
    host.restart_daemon();
    assert_eq!(host.log().len(), 4, "{:?}", host.log());
    let log = host.daemon_log();
    assert!(log.contains("before_daemon_start/10-x: exit status 3"), "{log}");
    let vm = host.guest("vm");
    vm.start().ok();
    vm.destroy().ok();
}
