//! All outputs, with their names.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde_json::Value;

use super::envelope::{schema_of, schema_of_file};
use super::{
    audit, available, bypass, check, edit, event, execution, guest, hook, hook_history, install,
    message, metrics, new, outbox, plan, prune, queue,
};
use super::{registration, run, show, status, undo, xml};
use crate::cli::register::registration_schema;

const EVENT_TITLE: &str = "the event of an execution, for other hosts: outbox/NUMBER-ID.json";
const GAP_TITLE: &str = "the event that tells of lost events: outbox/NUMBER-ID.json";
const STATUS_TITLE: &str = "how the host is, for a heartbeat: outbox/status.json";

macro_rules! outputs {
    ($($output:ident $name:literal $type:ty, $title:literal;)+) => {
        /// The name of a schema for `hookmux schema`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum OutputName {
            /// The file of a registration, which people write.
            Registration,
            /// The files of the outbox, which other programs read.
            Event,
            EventGap,
            OutboxStatus,
            $($output,)+
        }

        impl ValueEnum for OutputName {
            fn value_variants<'a>() -> &'a [OutputName] {
                &[
                    OutputName::Registration,
                    OutputName::Event,
                    OutputName::EventGap,
                    OutputName::OutboxStatus,
                    $(OutputName::$output,)+
                ]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                let (name, title) = match self {
                    OutputName::Registration => {
                        ("registration", "a registration's file: hooks.d/NAME.yaml")
                    }
                    OutputName::Event => ("event", EVENT_TITLE),
                    OutputName::EventGap => ("event-gap", GAP_TITLE),
                    OutputName::OutboxStatus => ("outbox-status", STATUS_TITLE),
                    $(OutputName::$output => ($name, $title),)+
                };
                Some(PossibleValue::new(name).help(title))
            }
        }

        impl OutputName {
            pub(crate) fn schema(self) -> Value {
                match self {
                    OutputName::Registration => registration_schema::schema(),
                    OutputName::Event => {
                        schema_of_file::<outbox::ExecutionEvent>("event", EVENT_TITLE)
                    }
                    OutputName::EventGap => {
                        schema_of_file::<outbox::GapEvent>("event-gap", GAP_TITLE)
                    }
                    OutputName::OutboxStatus => {
                        schema_of_file::<outbox::OutboxStatus>("outbox-status", STATUS_TITLE)
                    }
                    $(OutputName::$output => schema_of::<$type>($name, $title),)+
                }
            }
        }
    };
}

outputs! {
    Status "status" status::Status, "hookmux status";
    List "list" hook::List, "hookmux list";
    ListAvailable "list-available" available::Available, "hookmux list --available";
    ListGuests "list-guests" guest::Guests, "hookmux list --guests";
    Events "events" event::Events, "hookmux events";
    Plan "plan" plan::Plan, "hookmux plan of a call";
    PlanGuest "plan-guest" plan::Life, "hookmux plan GUEST";
    Run "run" run::Ran, "hookmux run";
    Check "check" check::Check, "hookmux check";
    CheckFiles "check-files" check::CheckFiles, "hookmux check FILE";
    Install "install" install::Installed, "hookmux install";
    Uninstall "uninstall" install::Installed, "hookmux uninstall";
    New "new" new::New, "hookmux new";
    Add "add" registration::Added, "hookmux add";
    Import "import" registration::Added, "hookmux import";
    Delete "delete" registration::Changed, "hookmux delete";
    Edit "edit" edit::Edited, "hookmux edit";
    Enable "enable" registration::Changed, "hookmux enable";
    Disable "disable" registration::Changed, "hookmux disable";
    Export "export" registration::Changed, "hookmux export";
    Queue "queue" queue::Queue, "hookmux queue";
    QueueFlush "queue-flush" queue::Flushed, "hookmux queue --flush";
    QueueRequeue "queue-requeue" queue::Requeued, "hookmux queue --requeue";
    Undo "undo" undo::Undone, "hookmux undo";
    UndoList "undo-list" undo::Undos, "hookmux undo --list";
    Log "log" execution::Log, "hookmux log";
    Audit "audit" audit::Audit, "hookmux log --audit";
    Show "show" show::Show, "hookmux show";
    ShowHook "show-hook" hook_history::HookHistory, "hookmux show HOOK";
    Retry "retry" run::Retried, "hookmux retry";
    Watch "watch" execution::Watched, "each line of hookmux watch, and of log --follow";
    WatchReady "watch-ready" execution::WatchReady, "the first line of hookmux watch --ready";
    Stop "stop" execution::Stopped, "hookmux stop";
    Prune "prune" prune::Pruned, "hookmux prune";
    Bypass "bypass" bypass::Bypass, "hookmux bypass";
    Metrics "metrics" metrics::Metrics, "hookmux metrics";
    XmlGet "xml-get" xml::XmlGet, "hookmux xml get";
    Error "error" message::Error, "what any of them prints where it has no answer";
}
