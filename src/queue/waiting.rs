//! The jobs of a worker, by what each of them waits for. Pure. Every step takes about as long with ten
//! thousand jobs as with ten (logarithmic time).

use std::collections::{BTreeSet, HashMap};

use super::caller::Caller;
use super::item::ItemHead;
use super::schedule::{Order, Times};

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum WaitReason {
    /// The end of the call that queued it.
    Caller(Caller),
    /// The end of the emergency switch.
    Bypass,
    /// A place among the jobs of a registration.
    Hook(String),
    Lock(String),
    /// The end of another job that may have killed its workers.
    Suspect,
}

/// The state of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
enum WaitState {
    /// It waits for earlier jobs of its guest.
    Behind,
    Ready,
    /// It waits until this time on this boot's clock, in nanoseconds.
    Paused(i64),
    Blocked(WaitReason),
    /// It runs.
    Running,
}

struct KnownJob {
    head: ItemHead,
    order: Order,
    due_ns: i64,
    expires_ns: i64,
    state: WaitState,
}

/// The jobs of one guest or network.
#[derive(Default)]
struct OwnerJobs {
    all: BTreeSet<Order>,
    /// The only one that doesn't wait for an earlier one.
    under_way: Option<Order>,
}

/// A guest or network: its driver, and its uuid or name.
type Owner = (String, String);

/// All jobs of a worker.
#[derive(Default)]
pub(super) struct Waiting {
    jobs: HashMap<String, KnownJob>,
    owners: HashMap<Owner, OwnerJobs>,
    ready: BTreeSet<Order>,
    pauses: BTreeSet<(i64, Order)>,
    blocked: HashMap<WaitReason, BTreeSet<Order>>,
    expiries: BTreeSet<(i64, String)>,
}

impl Waiting {
    /// Adds a job, if it isn't known already.
    pub(super) fn insert(&mut self, head: ItemHead, times: Times) {
        let Times { order, due_ns, expires_ns } = times;
        if self.jobs.contains_key(&order.id) {
            return;
        }
        let owner = owner(&head);
        self.expiries.insert((expires_ns, order.id.clone()));
        let id = order.id.clone();
        self.owners.entry(owner.clone()).or_default().all.insert(order.clone());
        self.jobs
            .insert(id, KnownJob { head, order, due_ns, expires_ns, state: WaitState::Behind });
        self.look_at(&owner);
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.jobs.contains_key(id)
    }

    /// Returns the ids of jobs that don't run.
    pub(super) fn idle_ids(&self) -> Vec<String> {
        let idle = self.jobs.values().filter(|job| job.state != WaitState::Running);
        idle.map(|job| job.order.id.clone()).collect()
    }

    /// Tells whether there is no job, running or not.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Returns everything that any job waits for.
    pub(super) fn reasons(&self) -> impl Iterator<Item = &WaitReason> {
        self.blocked.keys()
    }

    /// Removes a job.
    pub(super) fn remove(&mut self, id: &str) -> Option<ItemHead> {
        let order = self.jobs.get(id)?.order.clone();
        self.displace(&order);
        let job = self.jobs.remove(id)?;
        self.expiries.remove(&(job.expires_ns, job.order.id.clone()));
        let owner = owner(&job.head);
        if let Some(own) = self.owners.get_mut(&owner) {
            own.all.remove(&job.order);
            own.under_way.take_if(|order| *order == job.order);
            if own.all.is_empty() {
                self.owners.remove(&owner);
            }
        }
        self.look_at(&owner);
        Some(job.head)
    }

    /// Returns the next ready job. It stays ready until its state is changed.
    pub(super) fn next(&mut self, now_ns: i64) -> Option<&ItemHead> {
        self.end_pauses(now_ns);
        let order = self.ready.first()?;
        self.jobs.get(&order.id).map(|job| &job.head)
    }

    /// Marks a job as running. From now on the caller has its current head.
    pub(super) fn activate(&mut self, id: &str) {
        if let Some(order) = self.jobs.get(id).map(|job| job.order.clone()) {
            self.displace(&order);
            self.put(&order, WaitState::Running);
        }
    }

    /// Marks a job as waiting for something.
    pub(super) fn block(&mut self, id: &str, reason: WaitReason) {
        if let Some(order) = self.jobs.get(id).map(|job| job.order.clone()) {
            self.displace(&order);
            self.put(&order, WaitState::Blocked(reason));
        }
    }

    /// Stores the new head of a job, and pauses it until a point in time.
    pub(super) fn pause(&mut self, head: ItemHead, until_ns: i64) {
        let Some(job) = self.jobs.get_mut(&head.id) else { return };
        (job.head, job.due_ns) = (head, until_ns);
        let order = job.order.clone();
        self.displace(&order);
        self.put(&order, WaitState::Paused(until_ns));
        if let Some(owner) = self.jobs.get(&order.id).map(|job| owner(&job.head)) {
            self.look_at(&owner);
        }
    }

    /// Makes jobs ready when their pause is over.
    pub(super) fn end_pauses(&mut self, now_ns: i64) {
        while let Some((until_ns, order)) = self.pauses.first() {
            if *until_ns > now_ns {
                return;
            }
            let order = order.clone();
            self.displace(&order);
            self.put(&order, WaitState::Ready);
        }
    }

    /// Makes the oldest job ready that waits for this.
    pub(super) fn unblock_one(&mut self, reason: &WaitReason) {
        if let Some(order) = self.blocked.get(reason).and_then(BTreeSet::first).cloned() {
            self.displace(&order);
            self.put(&order, WaitState::Ready);
        }
    }

    /// Makes all jobs ready that wait for this.
    pub(super) fn unblock_all(&mut self, reason: &WaitReason) {
        for order in self.blocked.remove(reason).unwrap_or_default() {
            self.put(&order, WaitState::Ready);
        }
    }

    /// Returns a job that has waited too long, if there is one.
    pub(super) fn expired(&self, now_ns: i64) -> Option<String> {
        let (_, id) =
            self.expiries.iter().take_while(|(expires_ns, _)| *expires_ns < now_ns).find(
                |(_, id)| self.jobs.get(id).is_some_and(|job| job.state != WaitState::Running),
            )?;
        Some(id.clone())
    }

    /// Returns when the next pause ends or the next job expires, on this boot's clock.
    pub(super) fn next_change_ns(&self) -> Option<i64> {
        let pause_ns = self.pauses.first().map(|(until_ns, _)| *until_ns);
        // running jobs don't expire
        let is_idle =
            |id: &String| self.jobs.get(id).is_some_and(|job| job.state != WaitState::Running);
        let expiry = self.expiries.iter().find(|(_, id)| is_idle(id));
        pause_ns.into_iter().chain(expiry.map(|(expires_ns, _)| *expires_ns)).min()
    }

    /// Makes the first job of a guest, and no other of it, ready.
    fn look_at(&mut self, owner: &Owner) {
        let Some(own) = self.owners.get_mut(owner) else { return };
        let Some(first) = own.all.first().cloned() else { return };
        let before = own.under_way.clone();
        let is_active = before
            .as_ref()
            .and_then(|order| self.jobs.get(&order.id))
            .is_some_and(|job| job.state == WaitState::Running);
        // an earlier job takes the turn of one that hasn't started
        if is_active || before.as_ref() == Some(&first) {
            return;
        }
        own.under_way = Some(first.clone());
        if let Some(before) = before {
            self.displace(&before);
        }
        let due_ns = self.jobs.get(&first.id).map_or(0, |job| job.due_ns);
        self.put(&first, WaitState::Paused(due_ns));
    }

    /// Removes a job from the index of its state.
    fn displace(&mut self, order: &Order) {
        let Some(job) = self.jobs.get_mut(&order.id) else { return };
        match std::mem::replace(&mut job.state, WaitState::Behind) {
            WaitState::Behind | WaitState::Running => {}
            WaitState::Ready => drop(self.ready.remove(order)),
            WaitState::Paused(until_ns) => drop(self.pauses.remove(&(until_ns, order.clone()))),
            WaitState::Blocked(reason) => {
                if let Some(all) = self.blocked.get_mut(&reason) {
                    all.remove(order);
                    if all.is_empty() {
                        self.blocked.remove(&reason);
                    }
                }
            }
        }
    }

    /// Sets the state of a job, and adds it to the index of that state.
    fn put(&mut self, order: &Order, state: WaitState) {
        match &state {
            WaitState::Behind | WaitState::Running => {}
            WaitState::Ready => drop(self.ready.insert(order.clone())),
            WaitState::Paused(until_ns) => {
                self.pauses.insert((*until_ns, order.clone()));
            }
            WaitState::Blocked(reason) => {
                self.blocked.entry(reason.clone()).or_default().insert(order.clone());
            }
        }
        if let Some(job) = self.jobs.get_mut(&order.id) {
            job.state = state;
        }
    }
}

fn owner(head: &ItemHead) -> Owner {
    let (driver, object) = head.queue_of();
    (driver.to_owned(), object.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::time::{ClockId, clock_gettime};

    use super::*;
    use crate::machine::clock::BootClock;

    fn head(id: &str, object: &str, queued_at: u64) -> ItemHead {
        let text = format!(
            r#"{{"id":"{id}","driver":"qemu","object":"{object}","queued_at":{queued_at},"path":""}}"#
        );
        ItemHead::parse(text.as_bytes(), id).unwrap()
    }

    fn add(waiting: &mut Waiting, id: &str, object: &str, queued_at: u64) {
        let head = head(id, object, queued_at);
        let order = head.order(&BootClock::here());
        waiting.insert(head, Times { order, due_ns: 0, expires_ns: 1000 });
    }

    fn next(waiting: &mut Waiting) -> Option<String> {
        waiting.next(49).map(|head| head.id.clone())
    }

    #[test]
    fn of_a_guest_the_first_is_under_way_and_no_other() {
        let mut waiting = Waiting::default();
        for (id, object, at) in [("a2", "a", 2), ("a1", "a", 1), ("b1", "b", 3), ("a3", "a", 9)] {
            add(&mut waiting, id, object, at);
        }
        assert_eq!(next(&mut waiting).as_deref(), Some("a1"), "queued first, though it came later");
        waiting.activate("a1");
        assert_eq!(next(&mut waiting).as_deref(), Some("b1"));
        add(&mut waiting, "a0", "a", 0);
        waiting.activate("b1");
        assert_eq!(next(&mut waiting), None, "what runs is not run beside");
        waiting.remove("a1").unwrap();
        assert_eq!(next(&mut waiting).as_deref(), Some("a0"));
        waiting.pause(head("a0", "a", 0), 50);
        assert_eq!(next(&mut waiting), None, "a pause holds back those behind it");
        assert_eq!(waiting.next_change_ns(), Some(50));
        assert_eq!(waiting.next(50).map(|head| head.id.as_str()), Some("a0"));
        waiting.remove("a0").unwrap();
        assert_eq!(next(&mut waiting).as_deref(), Some("a2"));
        assert_eq!(waiting.expired(1000), None);
        assert!(waiting.expired(1001).is_some_and(|id| id != "b1"), "but those that run");
        for id in ["a2", "a3", "b1"] {
            waiting.remove(id).unwrap();
        }
        assert!(waiting.is_empty() && waiting.next_change_ns().is_none());
    }

    #[test]
    fn what_is_given_back_wakes_the_oldest_that_waits_for_it() {
        let mut waiting = Waiting::default();
        for (id, at) in [("x", 1), ("y", 2), ("z", 3)] {
            add(&mut waiting, id, id, at);
            waiting.block(id, WaitReason::Lock("gpu".to_owned()));
        }
        let lock = WaitReason::Lock("gpu".to_owned());
        waiting.unblock_one(&lock);
        assert_eq!(next(&mut waiting).as_deref(), Some("x"));
        waiting.unblock_one(&WaitReason::Bypass);
        waiting.block("x", lock.clone());
        waiting.unblock_all(&lock);
        assert_eq!(waiting.reasons().count(), 0);
        for id in ["x", "y", "z"] {
            assert_eq!(next(&mut waiting).as_deref(), Some(id));
            waiting.remove(id);
        }
    }

    #[test]
    fn ten_times_as_many_jobs_take_ten_times_as_long() {
        let cpu = || {
            let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
            Duration::from(time)
        };
        // of one guest, and of as many guests
        for is_one in [true, false] {
            let run = |count: usize| {
                let before = cpu();
                let mut waiting = Waiting::default();
                for number in 0..count {
                    let object = if is_one { "g".to_owned() } else { format!("g{number}") };
                    add(&mut waiting, &format!("j{number:06}"), &object, number as u64);
                }
                while let Some(id) = next(&mut waiting) {
                    waiting.activate(&id);
                    waiting.remove(&id);
                }
                assert!(waiting.is_empty());
                cpu() - before
            };
            run(500);
            let (few, many) = (run(1000), run(10_000));
            assert!(many < few * 40, "{few:?} {many:?}");
        }
    }

    #[test]
    fn a_job_expires_wherever_it_stands_but_where_it_runs() {
        type Put<'a> = &'a dyn Fn(&mut Waiting);
        let block = |waiting: &mut Waiting| waiting.block("a", WaitReason::Bypass);
        let pause = |waiting: &mut Waiting| waiting.pause(head("a", "g", 1), 5000);
        let run = |waiting: &mut Waiting| waiting.activate("a");
        let table: [(&str, Put<'_>, bool); 4] = [
            ("ready", &|_| {}, true),
            ("blocked", &block, true),
            ("paused", &pause, true),
            ("running", &run, false),
        ];
        for (place, put, expires) in table {
            let mut waiting = Waiting::default();
            add(&mut waiting, "a", "g", 1);
            assert_eq!(next(&mut waiting).as_deref(), Some("a"));
            put(&mut waiting);
            let expected = expires.then_some("a");
            assert_eq!(waiting.expired(1000), None, "{place}: not yet");
            assert_eq!(waiting.expired(1001).as_deref(), expected, "{place}");
            let due = waiting.next_change_ns();
            assert_eq!(due, expires.then_some(1000), "{place}: it is looked at then");
        }
        // also behind another, which runs
        let mut waiting = Waiting::default();
        for (id, at) in [("a", 1), ("b", 2)] {
            add(&mut waiting, id, "g", at);
        }
        waiting.activate("a");
        assert_eq!(waiting.expired(1001).as_deref(), Some("b"));
    }

    #[test]
    fn a_job_that_is_known_stays_as_it_is() {
        let mut waiting = Waiting::default();
        add(&mut waiting, "a", "g", 1);
        waiting.block("a", WaitReason::Suspect);
        add(&mut waiting, "a", "g", 1);
        assert_eq!(next(&mut waiting), None, "still blocked");
        waiting.activate("a");
        add(&mut waiting, "a", "g", 1);
        assert_eq!(next(&mut waiting), None, "still running");
        assert!(waiting.idle_ids().is_empty());
        waiting.remove("a").unwrap();
        assert!(waiting.is_empty() && waiting.remove("a").is_none());
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        let mut waiting = Waiting::default();
        waiting.activate("a");
        waiting.block("a", WaitReason::Bypass);
        waiting.pause(head("a", "g", 1), 5);
        waiting.unblock_one(&WaitReason::Bypass);
        waiting.unblock_all(&WaitReason::Bypass);
        assert!(waiting.is_empty() && waiting.reasons().next().is_none());
        assert_eq!((next(&mut waiting), waiting.next_change_ns()), (None, None));
    }
}
