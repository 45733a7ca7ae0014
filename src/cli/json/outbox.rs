//! The events of the outbox, and its status file, for their schemas. `record/outbox` writes them.

use std::collections::BTreeMap;

use super::shape::object;

object! {
    /// A run of a hook in an event.
    pub struct EventRun {
        /// The hook
        hook: String,
        /// hookmux's event; null where it runs at a call
        event: Option<String>,
        /// The device, for an event of a device
        device: Option<String>,
        /// What ran: `hook`, `rollback`, `undo`, or `detached`: a hook that was queued, or a try of it
        kind: String,
        /// How it ended: `good`, `failed`, `queued` or `unknown`
        outcome: String,
        /// The time from the beginning of the call to its start; null where it wasn't started
        start_ms: Option<u64>,
        /// How long it took
        duration_ms: Option<u64>,
        /// Its exit status, as in `show`
        status: i32,
        /// What happened, where it failed; without its output
        failure: Option<String>,
    }

    /// What handled the call.
    pub struct EventHookmux {
        /// The version of hookmux
        version: String,
        /// The digest of all hooks, the settings and the version; null where it wasn't known
        digest: Option<String>,
    }

    /// The execution.
    pub struct EventData {
        /// libvirt's driver
        driver: String,
        /// libvirt's operation
        operation: String,
        /// libvirt's sub-operation
        sub_operation: String,
        /// libvirt's extra argument
        extra: String,
        /// The guest or the network
        object: String,
        /// The guest's or the network's
        uuid: Option<String>,
        /// What a failure means: `gate`, `live` or `notify`
        class: String,
        /// The events that fired
        events: Vec<String>,
        /// The guest's title
        title: Option<String>,
        /// Why a guest was released
        reason: Option<String>,
        /// How the guest was started: `fresh`, `restore`, `migration` or `unknown`
        origin: Option<String>,
        /// What made the call: `libvirt`, `run`, `retry`, `queue` or `undo`
        cause: String,
        /// The execution that it comes from
        parent: Option<String>,
        /// When the call began
        began: String,
        /// How long it took until libvirt had its answer; null where it is lost
        duration_ms: Option<u64>,
        /// How it ended: `good`, `failed`, `queued`, `bypassed`, `unknown`, or `lost`: hookmux was killed before its end
        outcome: String,
        /// The exit status that libvirt got; null where it is lost
        exit_status: Option<i32>,
        /// The first thing that failed; without output
        failure: Option<String>,
        /// The custom properties that the setting `custom_properties` names
        properties: BTreeMap<String, String>,
        /// The hooks that ran; empty where it is lost
        runs: Vec<EventRun>,
        /// How many more ran, where the event would be too large
        left_out: usize,
        /// What handled the call
        hookmux: EventHookmux,
    }

    /// An execution, as an event of CloudEvents 1.0.
    pub struct ExecutionEvent {
        /// The number of the event on its host: 20 digits
        sequence: String,
        /// `1.0`
        specversion: String,
        /// The id of the execution: a ULID
        id: String,
        /// `hookmux/` and the name of the host
        source: String,
        /// `hookmux.execution.v1`
        r#type: String,
        /// Driver, operation and uuid, with slashes between them
        subject: String,
        /// When the execution ended; when it began, where it is lost
        time: String,
        /// `application/json`
        datacontenttype: String,
        /// The boot of the host
        bootid: String,
        /// The execution
        data: EventData,
    }

    /// Which events are lost.
    pub struct GapData {
        /// The first lost number; null where they never had one
        first: Option<String>,
        /// The last lost number
        last: Option<String>,
        /// How many executions are lost
        events: u64,
        /// Why: `full`, the outbox had as many as it may have; `no-room`, the runtime directory was full; `unreadable`, they were no events; `rejected`, hookmux-relay could never send one
        why: String,
    }

    /// Lost events, as an event of CloudEvents 1.0.
    pub struct GapEvent {
        /// The number of the event on its host: 20 digits
        sequence: String,
        /// `1.0`
        specversion: String,
        /// A ULID
        id: String,
        /// `hookmux/` and the name of the host
        source: String,
        /// `hookmux.gap.v1`
        r#type: String,
        /// `daemon/gap/-`
        subject: String,
        /// When it was noted
        time: String,
        /// `application/json`
        datacontenttype: String,
        /// The boot of the host
        bootid: String,
        /// Which events are lost
        data: GapData,
    }

    /// What `check` finds, by severity.
    pub struct FindingNumbers {
        /// Errors
        error: usize,
        /// Warnings
        warning: usize,
        /// Notes
        note: usize,
    }

    /// What waits in the outbox.
    pub struct OutboxNumbers {
        /// How many events
        events: u64,
        /// How much they take, in bytes
        bytes: u64,
        /// When the execution of the oldest of them began
        oldest: Option<String>,
        /// How often events were lost
        gaps: u64,
        /// How many were lost
        lost: u64,
    }

    /// `outbox/status.json`: how a host is, for a heartbeat.
    pub struct OutboxStatus {
        /// The format of the file
        format: u32,
        /// The version of hookmux
        version: String,
        /// The digest of all hooks, the settings and the version; null where it isn't known
        digest: Option<String>,
        /// The name of the host
        host: String,
        /// Its boot
        bootid: String,
        /// When this was written
        time: String,
        /// What `check` found when it was last asked, once an hour; null where it wasn't yet
        findings: Option<FindingNumbers>,
        /// What libvirt finds under each driver's name, in the words of `status`
        entries: BTreeMap<String, String>,
        /// When a daemon of libvirt last looked for its hook programs
        daemon_seen: Option<String>,
        /// The last number that an event got
        sequence: String,
        /// Which numbering it is: a ULID. Another one begins where numbers may be given a second time, as after `state_dir` was put back from a copy
        epoch: String,
        /// The last number that was given before this numbering began
        epoch_after: String,
        /// What waits
        outbox: OutboxNumbers,
    }
}
