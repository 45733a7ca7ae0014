//! The detached hooks that wait.

use super::change::ChangeSummary;
use super::shape::{object, words};
use super::value::{Seconds, Time};
use crate::queue::ItemHead;

words! {
    /// The state of a job:
    pub enum JobState {
        /// it runs
        Runs = "runs",
        /// it waits
        Waits = "waits",
        /// its worker died while it ran; the next worker runs it again
        Left = "left",
        /// it doesn't run until it is brought back
        PutAside = "put aside",
    }
}

object! {
    /// The content of a job's file.
    pub struct JobHead {
        /// A ULID
        id: String,
        /// The hook
        hook: String,
        /// The event; null where it was queued at a call
        event: Option<String>,
        /// libvirt's driver
        driver: String,
        /// The guest or the network
        object: String,
        /// libvirt's operation
        operation: String,
        /// The guest's or the network's
        uuid: Option<String>,
        /// The id of the execution that queued it
        parent: String,
        /// When it was queued
        queued_at: Time,
        /// It isn't tried before that; null where it may be tried at once
        not_before: Option<Time>,
        /// The number of attempts so far
        attempts: u32,
        /// How often it is tried again if it fails
        retries: u32,
        /// How the last try ended, for people
        last: Option<String>,
        /// How many times in a row its worker died while it ran
        deaths: u32,
    }

    /// A job.
    pub struct Job {
        ..head: JobHead,
        /// Its state
        state: JobState,
        /// Why it doesn't run; null where nothing is known to hold it back
        reason: Option<String>,
        /// How long it has been in the queue
        age_s: Seconds,
        /// How long it waits until the next try
        wait_s: Seconds,
    }

    /// A file in the queue, a job or not, that was put aside.
    pub struct AsideJob {
        /// Its id; null where the file is not a job
        id: Option<String>,
        /// Its file in the queue's directory
        file: String,
        /// Its state
        state: JobState,
        /// Why
        reason: String,
        /// Whether `queue --requeue` brings it back
        can_be_requeued: bool,
        /// The content of its file; null where that is not a job
        job: Option<JobHead>,
    }

    /// A job that this version doesn't run.
    pub struct UnreadJob {
        /// Its id
        id: String,
        /// Whether a newer version wrote it
        newer: bool,
        /// Why
        reason: String,
    }

    /// What the queue takes at most.
    pub struct QueueLimits {
        /// Jobs
        jobs: u64,
        /// Bytes
        bytes: u64,
    }

    /// Everything in the queue.
    pub struct Queue {
        /// The jobs, in their order
        jobs: Vec<Job>,
        /// Those that were put aside
        put_aside: Vec<AsideJob>,
        /// Those that this version doesn't run
        unread: Vec<UnreadJob>,
        /// What the queue takes at most
        limits: QueueLimits,
    }

    /// What `queue --flush` did.
    pub struct Flushed {
        /// How many jobs were removed, or would be without --dry-run
        flushed: usize,
        /// Their ids; for a file that isn't a job, its name
        ids: Vec<String>,
        ..=summary: ChangeSummary,
    }

    /// What `queue --requeue` did.
    pub struct Requeued {
        /// How many jobs were brought back, or would be without --dry-run
        requeued: usize,
        /// Their ids
        ids: Vec<String>,
        ..=summary: ChangeSummary,
    }
}

impl From<&ItemHead> for JobHead {
    fn from(head: &ItemHead) -> JobHead {
        JobHead {
            id: head.id.clone(),
            hook: head.hook.clone(),
            event: head.event.clone(),
            driver: head.driver.clone(),
            object: head.object.clone(),
            operation: head.operation.clone(),
            uuid: head.uuid.clone(),
            parent: head.execution.clone(),
            queued_at: Time::of_seconds(head.queued_at),
            not_before: (head.not_before > 0).then(|| Time::of_seconds(head.not_before)),
            attempts: head.attempts,
            retries: head.retries,
            last: head.last.clone(),
            deaths: head.deaths,
        }
    }
}
