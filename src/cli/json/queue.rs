//! The detached hooks that wait.

use super::shape::{object, words};
use super::value::{Seconds, Time};
use crate::queue::ItemHead;

words! {
    /// How a job is:
    pub enum JobState {
        /// it runs
        Runs = "runs",
        /// it waits
        Waits = "waits",
        /// its worker died while it ran; the next one runs it again
        Left = "left",
        /// it isn't run until somebody brings it back
        PutAside = "put aside",
    }
}

object! {
    /// What a job's file says.
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
        execution: String,
        /// When it was queued
        queued_at: Time,
        /// It isn't tried before that; null where it may be tried at once
        not_before: Option<Time>,
        /// The tries that have begun
        attempts: u32,
        /// How often it is tried again where it fails
        retries: u32,
        /// How the last try ended, for people
        last: Option<String>,
        /// How often its worker died while it ran, one time after the other
        deaths: u32,
    }

    /// A job.
    pub struct Job {
        ..head: JobHead,
        /// How it is
        state: JobState,
        /// Why it doesn't run; null where nothing is known to hold it back
        reason: Option<String>,
        /// How long it has been there
        age_s: Seconds,
        /// How long it isn't tried yet
        wait_s: Seconds,
    }

    /// A job, or what was taken for one, that isn't run.
    pub struct AsideJob {
        /// Its id; null where it is no job
        id: Option<String>,
        /// Its file in the queue's directory
        file: String,
        /// How it is
        state: JobState,
        /// Why
        reason: String,
        /// Whether `queue --requeue` brings it back
        can_be_requeued: bool,
        /// What its file says; null where it is no job
        job: Option<JobHead>,
    }

    /// A job that this version doesn't run.
    pub struct UnreadJob {
        /// Its id
        id: String,
        /// Whether it is a newer version's
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

    /// All that is in the queue.
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
        /// How many jobs were removed
        flushed: usize,
    }

    /// What `queue --requeue` did.
    pub struct Requeued {
        /// How many jobs were brought back
        requeued: usize,
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
            execution: head.execution.clone(),
            queued_at: Time::of_seconds(head.queued_at),
            not_before: (head.not_before > 0).then(|| Time::of_seconds(head.not_before)),
            attempts: head.attempts,
            retries: head.retries,
            last: head.last.clone(),
            deaths: head.deaths,
        }
    }
}
