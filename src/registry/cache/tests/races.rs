//! Calls beside each other, and beside whoever edits the registry.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

const FILES: usize = 4;
const REWRITES: usize = 100;

/// A version that shows whether it is whole: its number stands at the beginning and at the end.
fn version(number: usize) -> String {
    let filling = "# filling\n".repeat(200 + number % 7);
    format!("weight: {number}\nevents: {EVENT}\ncommand: /bin/true\n{filling}lock: v{number}\n")
}

fn rewrite(site: &Site, file: usize, number: usize) {
    let temporary = format!("high/hooks.d/.{file}.new");
    site.write(&temporary, &version(number));
    let path = site.path(&format!("high/hooks.d/{file}.yaml"));
    fs::rename(site.path(&temporary), path).unwrap();
}

/// Every load has every file, once, in one of its versions, and none older than one seen before.
fn keep_loading(site: &Site, is_over: &AtomicBool) -> usize {
    let mut loads = 0;
    let mut newest = [0; FILES];
    while !is_over.load(Ordering::Relaxed) {
        let registry = load(&site.settings, &Trust::new(site.user), &|_| true);
        assert!(registry.broken.is_empty() && registry.unreadable.is_empty(), "{registry:?}");
        let names: Vec<_> = registry.registrations.iter().map(|hook| hook.name.as_str()).collect();
        assert_eq!(names, ["0", "1", "2", "3"]);
        for (hook, newest) in registry.registrations.iter().zip(&mut newest) {
            assert_eq!(hook.lock.as_deref(), Some(format!("v{}", hook.weight).as_str()));
            assert!(hook.weight >= *newest, "{} came back after {newest}", hook.weight);
            *newest = hook.weight;
        }
        loads += 1;
    }
    loads
}

#[test]
fn every_load_sees_whole_versions() {
    let site = Site::with_hooks();
    (0..FILES).for_each(|file| rewrite(&site, file, 0));
    let (site, is_over) = (&site, &AtomicBool::new(false));
    thread::scope(|scope| {
        let loaders: Vec<_> =
            (0..3).map(|_| scope.spawn(move || keep_loading(site, is_over))).collect();
        let writers: Vec<_> = (0..FILES)
            .map(|file| {
                scope.spawn(move || {
                    for number in 1..=REWRITES {
                        rewrite(site, file, number);
                        thread::sleep(Duration::from_micros(300));
                    }
                })
            })
            .collect();
        // and somebody who does his worst to the cache
        let vandal = scope.spawn(move || {
            for round in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                match fs::OpenOptions::new().write(true).open(site.cache()) {
                    Ok(file) if round % 2 == 0 => file.set_len(round % 600).unwrap(),
                    _ => drop(fs::remove_file(site.cache())),
                }
                thread::sleep(Duration::from_micros(700));
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        assert!(loaders.into_iter().map(|loader| loader.join().unwrap()).sum::<usize>() > 0);
        vandal.join().unwrap();
    });
    let registry = load(&site.settings, &Trust::new(site.user), &|_| true);
    assert!(registry.registrations.iter().all(|hook| hook.weight == REWRITES as i64));
    assert_eq!(told(&site.load()), told(&site.truth()));
    assert_eq!(told(&site.warm().unwrap()), told(&site.truth()));
}

#[test]
fn sources_that_come_and_go_are_there_or_not() {
    let site = Site::with_hooks();
    site.make_directory("low/hooks.d");
    site.add("always", &text(EVENT, 1));
    site.write("low/hooks.d/0.yaml", &version(0));
    let (site, is_over) = (&site, &AtomicBool::new(false));
    thread::scope(|scope| {
        let loaders: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        let registry = load(&site.settings, &Trust::new(site.user), &|_| true);
                        assert!(registry.broken.is_empty(), "{registry:?}");
                        // from the one root or from the other, never from both
                        let names: Vec<_> =
                            registry.registrations.iter().map(|hook| hook.name.as_str()).collect();
                        assert_eq!(names, ["0", "always"]);
                    }
                })
            })
            .collect();
        for number in 1..300 {
            rewrite(site, 0, number);
            thread::sleep(Duration::from_micros(300));
            site.remove("high/hooks.d/0.yaml");
        }
        is_over.store(true, Ordering::Relaxed);
        loaders.into_iter().for_each(|loader| loader.join().unwrap());
    });
}

#[test]
fn one_writes_and_the_others_go_on() {
    let site = Site::with_hooks();
    site.add("a", &text(EVENT, 1));
    let lock = store::lock(&CacheFile::new(&site.settings)).unwrap();
    assert!(store::lock(&CacheFile::new(&site.settings)).is_none());
    assert_eq!(told(&site.load()), told(&site.truth()));
    assert!(!site.cache().exists());
    drop(lock);
    assert_eq!(told(&site.load()), told(&site.truth()));
    // stand-ins come from the cache all the same
    let lock = store::lock(&CacheFile::new(&site.settings)).unwrap();
    tick();
    site.add("a", "events: [\n");
    assert_eq!(names(&site.load()), [("a", 1)]);
    drop(lock);
}
