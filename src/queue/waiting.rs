//! The jobs that a worker knows of, by what each one waits for. Pure; every step takes as long with
//! ten thousand jobs as with ten, but for the depth of a tree.

use std::collections::{BTreeSet, HashMap};

use super::item::{Caller, Head, Order, Times};

/// What a job waits for that others can give.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum StartObstacle {
    /// The end of the call that queued it.
    Caller(Caller),
    /// That hooks are switched on again.
    Bypass,
    /// A place among the jobs of a registration.
    Hook(String),
    Lock(String),
    /// The end of another job that may have killed its workers.
    Suspect,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Behind others of its guest.
    Behind,
    Ready,
    /// Until a point in time on this boot's clock.
    Paused(i64),
    Blocked(StartObstacle),
    /// It runs.
    Active,
}

struct Job {
    head: Head,
    order: Order,
    due_ns: i64,
    expires_ns: i64,
    place: Place,
}

/// The jobs of one guest or network.
#[derive(Default)]
struct Own {
    all: BTreeSet<Order>,
    /// The only one that isn't behind another.
    under_way: Option<Order>,
}

/// A guest or network: its driver, its uuid or name.
type Owner = (String, String);

/// All of them.
#[derive(Default)]
pub(super) struct Waiting {
    jobs: HashMap<String, Job>,
    owners: HashMap<Owner, Own>,
    ready: BTreeSet<Order>,
    pauses: BTreeSet<(i64, Order)>,
    blocked: HashMap<StartObstacle, BTreeSet<Order>>,
    expiries: BTreeSet<(i64, String)>,
}

impl Waiting {
    /// Takes a job in. One that is known stays as it is.
    pub(super) fn insert(&mut self, head: Head, times: Times) {
        let Times { order, due_ns, expires_ns } = times;
        if self.jobs.contains_key(&order.id) {
            return;
        }
        let owner = owner(&head);
        self.expiries.insert((expires_ns, order.id.clone()));
        let id = order.id.clone();
        self.owners.entry(owner.clone()).or_default().all.insert(order.clone());
        self.jobs.insert(id, Job { head, order, due_ns, expires_ns, place: Place::Behind });
        self.look_at(&owner);
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.jobs.contains_key(id)
    }

    /// The ids of those that don't run.
    pub(super) fn idle_ids(&self) -> Vec<String> {
        let idle = self.jobs.values().filter(|job| job.place != Place::Active);
        idle.map(|job| job.order.id.clone()).collect()
    }

    /// Whether none is known, running or not.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether any job waits for such a thing.
    pub(super) fn obstacles(&self) -> impl Iterator<Item = &StartObstacle> {
        self.blocked.keys()
    }

    /// Forgets a job that doesn't run.
    pub(super) fn remove(&mut self, id: &str) -> Option<Head> {
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

    /// The next job that nothing is known to hold back. It stays ready until it is put elsewhere.
    pub(super) fn next(&mut self, now_ns: i64) -> Option<&Head> {
        self.end_pauses(now_ns);
        let order = self.ready.first()?;
        self.jobs.get(&order.id).map(|job| &job.head)
    }

    /// Notes that a job runs. Its head is the caller's now.
    pub(super) fn activate(&mut self, id: &str) {
        if let Some(order) = self.jobs.get(id).map(|job| job.order.clone()) {
            self.displace(&order);
            self.put(&order, Place::Active);
        }
    }

    /// Notes that a job waits for something.
    pub(super) fn block(&mut self, id: &str, obstacle: StartObstacle) {
        if let Some(order) = self.jobs.get(id).map(|job| job.order.clone()) {
            self.displace(&order);
            self.put(&order, Place::Blocked(obstacle));
        }
    }

    /// Notes how far a job has come, and that it is not tried before a point in time.
    pub(super) fn pause(&mut self, head: Head, until_ns: i64) {
        let Some(job) = self.jobs.get_mut(&head.id) else { return };
        (job.head, job.due_ns) = (head, until_ns);
        let order = job.order.clone();
        self.displace(&order);
        self.put(&order, Place::Paused(until_ns));
        if let Some(owner) = self.jobs.get(&order.id).map(|job| owner(&job.head)) {
            self.look_at(&owner);
        }
    }

    /// Makes those ready whose pause is over.
    pub(super) fn end_pauses(&mut self, now_ns: i64) {
        while let Some((until_ns, order)) = self.pauses.first() {
            if *until_ns > now_ns {
                return;
            }
            let order = order.clone();
            self.displace(&order);
            self.put(&order, Place::Ready);
        }
    }

    /// Makes the first of those ready that wait for something.
    pub(super) fn unblock_one(&mut self, obstacle: &StartObstacle) {
        if let Some(order) = self.blocked.get(obstacle).and_then(BTreeSet::first).cloned() {
            self.displace(&order);
            self.put(&order, Place::Ready);
        }
    }

    /// Makes all of them ready.
    pub(super) fn unblock_all(&mut self, obstacle: &StartObstacle) {
        for order in self.blocked.remove(obstacle).unwrap_or_default() {
            self.put(&order, Place::Ready);
        }
    }

    /// A job that has waited too long, if there is one.
    pub(super) fn expired(&self, now_ns: i64) -> Option<String> {
        let (_, id) = self
            .expiries
            .iter()
            .take_while(|(expires_ns, _)| *expires_ns < now_ns)
            .find(|(_, id)| self.jobs.get(id).is_some_and(|job| job.place != Place::Active))?;
        Some(id.clone())
    }

    /// When the next pause or the next wait is over, on this boot's clock.
    pub(super) fn next_change_ns(&self) -> Option<i64> {
        let pause_ns = self.pauses.first().map(|(until_ns, _)| *until_ns);
        // those that run expire only once they are back
        let is_idle = |id: &String| self.jobs.get(id).is_some_and(|job| job.place != Place::Active);
        let expiry = self.expiries.iter().find(|(_, id)| is_idle(id));
        pause_ns.into_iter().chain(expiry.map(|(expires_ns, _)| *expires_ns)).min()
    }

    /// Sees to it that the first job of a guest, and no other of it, is under way.
    fn look_at(&mut self, owner: &Owner) {
        let Some(own) = self.owners.get_mut(owner) else { return };
        let Some(first) = own.all.first().cloned() else { return };
        let before = own.under_way.clone();
        let is_active = before
            .as_ref()
            .and_then(|order| self.jobs.get(&order.id))
            .is_some_and(|job| job.place == Place::Active);
        // an earlier job comes in front of one that hasn't started
        if is_active || before.as_ref() == Some(&first) {
            return;
        }
        own.under_way = Some(first.clone());
        if let Some(before) = before {
            self.displace(&before);
        }
        let due_ns = self.jobs.get(&first.id).map_or(0, |job| job.due_ns);
        self.put(&first, Place::Paused(due_ns));
    }

    /// Takes a job out of where it stands.
    fn displace(&mut self, order: &Order) {
        let Some(job) = self.jobs.get_mut(&order.id) else { return };
        match std::mem::replace(&mut job.place, Place::Behind) {
            Place::Behind | Place::Active => {}
            Place::Ready => drop(self.ready.remove(order)),
            Place::Paused(until_ns) => drop(self.pauses.remove(&(until_ns, order.clone()))),
            Place::Blocked(obstacle) => {
                if let Some(all) = self.blocked.get_mut(&obstacle) {
                    all.remove(order);
                    if all.is_empty() {
                        self.blocked.remove(&obstacle);
                    }
                }
            }
        }
    }

    /// Puts a job where it isn't yet.
    fn put(&mut self, order: &Order, place: Place) {
        match &place {
            Place::Behind | Place::Active => {}
            Place::Ready => drop(self.ready.insert(order.clone())),
            Place::Paused(until_ns) => {
                self.pauses.insert((*until_ns, order.clone()));
            }
            Place::Blocked(obstacle) => {
                self.blocked.entry(obstacle.clone()).or_default().insert(order.clone());
            }
        }
        if let Some(job) = self.jobs.get_mut(&order.id) {
            job.place = place;
        }
    }
}

fn owner(head: &Head) -> Owner {
    let (driver, object) = head.queue_of();
    (driver.to_owned(), object.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::time::{ClockId, clock_gettime};

    use super::*;
    use crate::queue::clock::Clock;

    fn head(id: &str, object: &str, queued_at: u64) -> Head {
        let text = format!(
            r#"{{"id":"{id}","driver":"qemu","object":"{object}","queued_at":{queued_at},"path":""}}"#
        );
        Head::parse(text.as_bytes(), id).unwrap()
    }

    fn add(waiting: &mut Waiting, id: &str, object: &str, queued_at: u64) {
        let head = head(id, object, queued_at);
        let order = head.order(&Clock::here());
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
            waiting.block(id, StartObstacle::Lock("gpu".to_owned()));
        }
        let lock = StartObstacle::Lock("gpu".to_owned());
        waiting.unblock_one(&lock);
        assert_eq!(next(&mut waiting).as_deref(), Some("x"));
        waiting.unblock_one(&StartObstacle::Bypass);
        waiting.block("x", lock.clone());
        waiting.unblock_all(&lock);
        assert_eq!(waiting.obstacles().count(), 0);
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
}
