//! What an unchanged registry costs, and what counts as a change.

use super::*;

#[test]
fn without_directories_nothing_is_touched() {
    let site = Site::new();
    assert_eq!(told(&site.load()), told(&Registry::default()));
    assert!(!site.path("state").exists());
}

#[test]
fn an_unchanged_registry_is_neither_read_nor_written() {
    let site = Site::with_hooks();
    site.add("a", &text(EVENT, 1));
    site.add("b", &text(OTHER, 2));
    site.add("c", "events: [\n");
    read_since();
    let first = site.load();
    assert_eq!(read_since(), ["a.yaml", "b.yaml", "c.yaml"]);
    assert_eq!(told(&first), told(&site.truth()));
    let written = fs::metadata(site.cache()).unwrap();
    assert_eq!(written.mode() & 0o7777, 0o600);
    for _ in 0..3 {
        assert_eq!(told(&site.load()), told(&first), "the broken one is reported each time");
    }
    assert_eq!(read_since(), [""; 0]);
    assert_eq!(fs::metadata(site.cache()).unwrap().ino(), written.ino());
    assert_eq!(told(&site.warm().unwrap()), told(&first));
}

// C10
#[test]
fn only_what_changed_is_read() {
    let site = Site::with_hooks();
    for name in ["a", "b", "c"] {
        site.add(name, &text(EVENT, 1));
    }
    site.load();
    read_since();
    tick();
    site.add("b", &text(EVENT, 2));
    site.add("d", &text(EVENT, 3));
    assert_eq!(names(&site.load()), [("a", 1), ("b", 2), ("c", 1), ("d", 3)]);
    assert_eq!(read_since(), ["b.yaml", "d.yaml"]);
}

#[test]
fn of_unwanted_registrations_nothing_is_read() {
    let site = Site::with_hooks();
    site.add("a", &text(EVENT, 1));
    site.add("b", &text(OTHER, 2));
    site.load();
    // nothing that belongs to the other one is left
    let mut image = fs::read(site.cache()).unwrap();
    let other = image.windows(9).position(|window| window == b"{\"name\":\"").unwrap();
    let other =
        other + 9 + image[other + 9..].windows(9).position(|w| w == b"{\"name\":\"").unwrap();
    image.truncate(other);
    fs::write(site.cache(), &image).unwrap();
    read_since();
    assert_eq!(names(&site.load_for(EVENT)), [("a", 1)]);
    assert_eq!(fs::read(site.cache()).unwrap(), image, "nothing had to be mended");
    // whoever wants it mends it
    assert_eq!(names(&site.load_for(OTHER)), [("b", 2)]);
    assert_eq!(read_since(), ["b.yaml"]);
    assert_ne!(fs::read(site.cache()).unwrap(), image);
}

#[test]
fn a_change_in_the_same_tick_is_seen() {
    let site = Site::with_hooks();
    for weight in 10..90 {
        // the same inode and size
        site.add("a", &text(EVENT, weight));
        let registry = load(&site.settings, &Trust::new(site.user), &|_| true);
        assert_eq!(names(&registry), [("a", weight as i64)]);
    }
}

#[test]
fn what_is_fresh_settles_with_time() {
    let site = Site::with_hooks();
    site.add("a", &text(EVENT, 1));
    load(&site.settings, &Trust::new(site.user), &|_| true);
    assert!(site.warm().is_none());
    let written = fs::metadata(site.cache()).unwrap();
    load(&site.settings, &Trust::new(site.user), &|_| true);
    // written again only where it would say something else
    assert_eq!(fs::metadata(site.cache()).unwrap().ino(), written.ino());
    site.load();
    assert_ne!(fs::metadata(site.cache()).unwrap().ctime_nsec(), written.ctime_nsec());
    assert!(site.warm().is_some());
}

#[test]
fn mode_and_owner_count() {
    let site = Site::with_hooks();
    site.add("a", &text(EVENT, 1));
    site.load();
    site.mode("high/hooks.d/a.yaml", 0o646);
    let registry = site.load();
    assert!(registry.broken[0].diagnostic.message.contains("writable by others"));
    assert!(registry.broken[0].has_last_good);
    assert_eq!(names(&registry), [("a", 1)]);
    assert_eq!(told(&site.warm().unwrap()), told(&registry));
    site.mode("high/hooks.d/a.yaml", 0o644);
    if nix::unistd::geteuid().is_root() {
        assert_eq!(told(&site.load()), told(&site.truth()));
        std::os::unix::fs::chown(site.path("high/hooks.d/a.yaml"), Some(4321), None).unwrap();
        assert!(site.load().broken[0].diagnostic.message.contains("owned by uid 4321"));
    }
}

#[test]
fn the_way_is_checked_at_every_call() {
    let site = Site::with_hooks();
    site.write("elsewhere/target", &text(EVENT, 1));
    site.link("../../elsewhere/target", "high/hooks.d/link.yaml");
    site.add("plain", &text(EVENT, 2));
    let good = told(&site.load());
    // no source changes, nor hooks.d
    for (directory, refused) in [("high", vec!["link", "plain"]), ("elsewhere", vec!["link"])] {
        assert!(site.warm().is_some());
        site.mode(directory, 0o757);
        let registry = site.load();
        let broken: Vec<_> = registry.broken.iter().map(|b| b.diagnostic.clone()).collect();
        let truth: Vec<_> = site.truth().broken.into_iter().map(|b| b.diagnostic).collect();
        assert_eq!(broken, truth);
        assert_eq!(broken.len(), refused.len());
        assert!(registry.broken.iter().all(|broken| broken.has_last_good));
        assert_eq!(names(&registry), [("link", 1), ("plain", 2)]);
        site.mode(directory, 0o755);
        assert_eq!(told(&site.load()), good);
    }
    // one that came while it was refused isn't believed, nor remembered as good
    site.mode("high", 0o757);
    site.add("new", &text(EVENT, 3));
    assert!(site.load().broken.iter().any(|broken| !broken.has_last_good));
    site.mode("high", 0o755);
    assert_eq!(told(&site.load()), told(&site.truth()));
}

#[test]
fn a_links_target_counts() {
    let site = Site::with_hooks();
    site.write("elsewhere/one", &text(EVENT, 1));
    site.write("elsewhere/two", &text(EVENT, 2));
    site.link("../../elsewhere/one", "high/hooks.d/a.yaml");
    assert_eq!(names(&site.load()), [("a", 1)]);
    assert!(site.warm().is_some());
    tick();
    site.write("elsewhere/one", &text(EVENT, 3));
    assert_eq!(names(&site.load()), [("a", 3)]);
    fs::rename(site.path("elsewhere/two"), site.path("elsewhere/one")).unwrap();
    assert_eq!(names(&site.load()), [("a", 2)]);
    // what it would run is unknown then: the last good form stands in
    site.remove("elsewhere/one");
    assert!(site.load().broken[0].has_last_good);
    let registry = site.warm().unwrap();
    assert!(registry.broken[0].has_last_good);
    assert!(registry.broken[0].diagnostic.message.contains("a link to nothing"));
    assert_eq!(names(&registry), [("a", 2)]);
    site.write("elsewhere/one", &text(EVENT, 4));
    assert_eq!(names(&site.load()), [("a", 4)]);
    site.remove("high/hooks.d/a.yaml");
    site.link("/dev/null", "high/hooks.d/a.yaml");
    assert_eq!(told(&site.load()), told(&Registry::default()));
    assert!(site.warm().is_some());
    site.link("../../elsewhere/never", "high/hooks.d/b.yaml");
    assert_eq!(told(&site.load()), told(&site.truth()));
    assert!(!site.warm().unwrap().broken[0].has_last_good);
}

#[test]
fn roots_mask_and_unmask() {
    let site = Site::with_hooks();
    site.make_directory("low/hooks.d");
    site.add("a", &text(EVENT, 1));
    site.write("low/hooks.d/a.yaml", &text(EVENT, 2));
    assert_eq!(names(&site.load()), [("a", 1)]);
    assert!(site.warm().is_some());
    site.make_directory("middle/hooks.d");
    site.remove("high/hooks.d/a.yaml");
    assert_eq!(names(&site.load()), [("a", 2)]);
    site.link("/dev/null", "middle/hooks.d/a.yaml");
    assert_eq!(names(&site.load()), []);
    site.remove("middle/hooks.d/a.yaml");
    assert_eq!(names(&site.load()), [("a", 2)]);
}

#[test]
fn a_mask_counts_where_others_could_not_have_put_it() {
    let mut site = Site::with_hooks();
    site.make_directory("low/hooks.d");
    site.link("/dev/null", "high/hooks.d/a.yaml");
    site.write("low/hooks.d/a.yaml", &text(EVENT, 1));
    for policy in [TrustPolicy::Refuse, TrustPolicy::Warn] {
        site.settings.trust = policy;
        assert_eq!(names(&site.load()), []);
        assert!(site.warm().is_some());
        // neither hooks.d nor the mask changes
        site.mode("high", 0o757);
        assert_eq!(names(&site.load()), [("a", 1)]);
        assert_eq!(names(&site.warm().unwrap()), [("a", 1)]);
        site.mode("high", 0o755);
        assert_eq!(names(&site.load()), []);
    }
}

#[test]
fn a_link_to_no_directory_is_told() {
    let site = Site::with_hooks();
    site.make_directory("elsewhere/hooks");
    site.write("elsewhere/hooks/a.yaml", &text(EVENT, 1));
    site.link("../elsewhere/hooks", "middle/hooks.d");
    for _ in 0..2 {
        assert_eq!(names(&site.load()), [("a", 1)]);
    }
    assert!(site.warm().is_some());
    fs::rename(site.path("elsewhere/hooks"), site.path("elsewhere/gone")).unwrap();
    assert_eq!(site.truth().unreadable.len(), 1);
    assert_eq!(told(&site.load()), told(&site.truth()));
    // also where it is the only one
    fs::remove_dir(site.path("high/hooks.d")).unwrap();
    assert_eq!(told(&site.load()), told(&site.truth()));
    // a file is none
    site.remove("middle/hooks.d");
    site.write("middle/hooks.d", "");
    assert_eq!(told(&site.load()), told(&Registry::default()));
    assert_eq!(told(&site.load()), told(&site.truth()));
}

#[test]
fn an_unreadable_directory_is_told() {
    let site = Site::with_hooks();
    site.add("a", "events: [\n");
    site.load();
    let written = fs::read(site.cache()).unwrap();
    // a root that can't be passed through
    site.link("loop", "loop");
    let mut settings = site.settings.clone();
    settings.roots = vec![site.path("loop")];
    let registry = load(&settings, &Trust::new(site.user), &|_| true);
    assert_eq!(registry.unreadable.len(), 1);
    assert_eq!(registry.unreadable[0].path, site.path("loop/hooks.d"));
    assert_eq!(fs::read(site.cache()).unwrap(), written, "what was good is kept");
}

#[test]
fn a_hook_without_a_limit_has_none_when_it_comes_from_the_cache() {
    let site = Site::with_hooks();
    site.add("a", &format!("{}timeout: 0\n", text(EVENT, 1)));
    let first = site.load();
    assert_eq!(first.registrations[0].timeout, crate::config::registration::OwnTimeout::None);
    assert_eq!(told(&site.warm().unwrap()), told(&first));
}

#[test]
fn a_path_may_be_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let mut site = Site::with_hooks();
    let odd = std::ffi::OsStr::from_bytes(b"h\xffx");
    let root = site.path("high").with_file_name(odd);
    fs::rename(site.path("high"), &root).unwrap();
    fs::write(root.join("hooks.d/a.yaml"), text(EVENT, 1)).unwrap();
    fs::write(root.join("hooks.d").join(std::ffi::OsStr::from_bytes(b"\xfe.yaml")), "x").unwrap();
    site.settings.hooks_dir = root;
    let truth = told(&site.truth());
    assert_eq!((truth.0.len(), truth.1.len()), (1, 1));
    assert_eq!(told(&site.load()), truth);
    assert_eq!(told(&site.warm().unwrap()), truth);
}

#[test]
fn two_seconds_settle_a_signature() {
    let site = Site::with_hooks();
    site.add("a", "x");
    let roots = Root::open_all(&site.settings).unwrap();
    let directory = roots[0].directory.as_ref().unwrap();
    let own = directory.look("a.yaml".as_ref()).unwrap().own;
    let changed = changed(&site, "high/hooks.d/a.yaml");
    assert!(own.is_settled(changed + Duration::from_secs(2)));
    assert!(!own.is_settled(changed + Duration::from_nanos(1_999_999_999)));
    assert!(!own.is_settled(Duration::ZERO));
    assert_eq!(directory.look("b.yaml".as_ref()), None);
}

/// When a path was changed last.
fn changed(site: &Site, name: &str) -> Duration {
    let metadata = fs::metadata(site.path(name)).unwrap();
    Duration::new(metadata.ctime().try_into().unwrap(), metadata.ctime_nsec().try_into().unwrap())
}

#[test]
fn what_is_not_settled_is_looked_at_again() {
    let site = Site::with_hooks();
    site.add("a", &text(EVENT, 1));
    tick();
    // the directory is changed after its source: one of them settles before the other one
    site.add("b", "");
    site.remove("high/hooks.d/b.yaml");
    let source = changed(&site, "high/hooks.d/a.yaml");
    assert!(source < changed(&site, "high/hooks.d"));
    let load_after = |seconds| {
        load_at(
            &site.settings,
            &Trust::new(site.user),
            &|_| true,
            source + Duration::from_secs(seconds),
        );
        read_since()
    };
    read_since();
    assert_eq!(load_after(1), ["a.yaml"]);
    assert_eq!(load_after(1), ["a.yaml"], "it could have been changed in the same tick");
    assert_eq!(load_after(2), ["a.yaml"], "and that may have been the case before");
    assert_eq!(load_after(2), [""; 0]);
    assert!(site.warm().is_none(), "but the directory could have been");
    assert_eq!(load_after(3), [""; 0]);
    assert!(site.warm().is_some());
    // nor is a source that was changed after its directory
    tick();
    site.add("a", &text(EVENT, 2));
    let directory = changed(&site, "high/hooks.d");
    load_at(&site.settings, &Trust::new(site.user), &|_| true, directory + Duration::from_secs(2));
    assert!(site.warm().is_none());
}
