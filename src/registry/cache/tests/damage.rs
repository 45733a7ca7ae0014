//! The last good forms, and what damage does to them: at worst they are missing.

use super::*;

/// Two good ones, and a broken one that was good once.
fn site() -> Site {
    let site = Site::with_hooks();
    site.add("a", &text(EVENT, 1));
    site.add("b", &text(EVENT, 2));
    site.add("c", &text(EVENT, 3));
    site.load();
    tick();
    site.add("b", "events: [\n");
    let registry = site.load();
    assert_eq!(names(&registry), [("a", 1), ("b", 2), ("c", 3)]);
    assert!(registry.broken[0].has_last_good);
    site
}

/// Loads with a cache of these bytes: everything that can be known without it is there, once.
fn check(site: &Site, image: &[u8], what: &str) -> bool {
    fs::write(site.cache(), image).unwrap();
    fs::set_permissions(site.cache(), Permissions::from_mode(0o600)).unwrap();
    let (registry, truth) = (site.load(), site.truth());
    assert_eq!(registry.broken.len(), 1, "{what}");
    assert_eq!(registry.broken[0].diagnostic, truth.broken[0].diagnostic, "{what}");
    let has_last_good = registry.broken[0].has_last_good;
    if has_last_good {
        assert_eq!(names(&registry), [("a", 1), ("b", 2), ("c", 3)], "{what}");
    } else {
        assert_eq!(told(&registry), told(&truth), "{what}");
    }
    has_last_good
}

#[test]
fn what_a_killed_writer_left_is_removed_by_the_next() {
    let site = Site::with_hooks();
    site.add("a", &text(EVENT, 1));
    site.load();
    let torn = site.cache().with_file_name(format!(
        "{}.4194304.new",
        site.cache().file_name().unwrap().to_str().unwrap()
    ));
    let foreign = site.cache().with_file_name("another.1.new");
    fs::write(&torn, "half").unwrap();
    fs::write(&foreign, "not its own").unwrap();
    tick();
    site.add("b", &text(EVENT, 2));
    site.load();
    assert!(!torn.exists() && foreign.exists());
}

// C10
#[test]
fn a_truncated_cache_is_as_none() {
    let site = site();
    let image = fs::read(site.cache()).unwrap();
    for length in 0..image.len() {
        check(&site, &image[..length], &format!("{length} bytes of {}", image.len()));
    }
    assert!(check(&site, &image, "all of it"));
    assert!(check(&site, &[&image[..], b"more"].concat(), "more than all"));
}

#[test]
fn a_corrupted_byte_is_noticed() {
    let site = site();
    let image = fs::read(site.cache()).unwrap();
    let mut stood_in = 0;
    for at in 0..image.len() {
        let mut image = image.clone();
        // one bit, another one each time
        image[at] ^= 1 << (at % 8);
        stood_in += usize::from(check(&site, &image, &format!("byte {at}")));
    }
    assert!(stood_in > 0, "damage elsewhere costs no stand-in");
    let zeros = vec![0; image.len()];
    assert!(!check(&site, &zeros, "zeros"));
    // lengths that nobody has the memory for
    for length in [u64::MAX, 1 << 62, image.len() as u64 + 1] {
        let mut image = image.clone();
        image[16..24].copy_from_slice(&length.to_le_bytes());
        assert!(!check(&site, &image, "a wrong length"));
    }
}

#[test]
fn damage_to_one_piece_costs_no_other_one() {
    let site = site();
    let mut image = fs::read(site.cache()).unwrap();
    let form = image.windows(12).position(|window| window == b"{\"name\":\"a\",").unwrap();
    image[form] = 0;
    assert!(check(&site, &image, "the form of another one"));
}

#[test]
fn the_last_good_form_lasts() {
    let site = site();
    for broken in ["events: [\n", "", "command: /x\n", "\u{1}"] {
        tick();
        site.add("b", broken);
        assert_eq!(names(&site.load()), [("a", 1), ("b", 2), ("c", 3)]);
    }
    tick();
    fs::write(site.path("high/hooks.d/b.yaml"), b"\xff\xfe").unwrap();
    let registry = site.load();
    assert_eq!(registry.broken[0].diagnostic, site.truth().broken[0].diagnostic);
    assert!(registry.broken[0].has_last_good && site.warm().is_some());
    // masked or disabled meanwhile
    fs::rename(site.path("high/hooks.d/b.yaml"), site.path("elsewhere/b")).unwrap();
    site.link("/dev/null", "high/hooks.d/b.yaml");
    assert_eq!(names(&site.load()), [("a", 1), ("c", 3)]);
    site.remove("high/hooks.d/b.yaml");
    fs::rename(site.path("elsewhere/b"), site.path("high/hooks.d/b.yaml")).unwrap();
    assert_eq!(names(&site.load()), [("a", 1), ("b", 2), ("c", 3)]);
    // mended, and broken again
    tick();
    site.add("b", &text(EVENT, 9));
    assert_eq!(told(&site.load()), told(&site.truth()));
    tick();
    site.add("b", "events: [\n");
    assert_eq!(names(&site.load()), [("a", 1), ("b", 9), ("c", 3)]);
    // deleted is gone
    site.remove("high/hooks.d/b.yaml");
    assert_eq!(told(&site.load()), told(&site.truth()));
    assert_eq!(names(&site.load()), [("a", 1), ("c", 3)]);
    tick();
    site.add("b", "events: [\n");
    assert!(!site.load().broken[0].has_last_good);
}

#[test]
fn a_stand_in_is_only_for_calls_that_want_it() {
    let site = site();
    let registry = site.load_for(OTHER);
    assert_eq!((registry.registrations.len(), registry.broken.len()), (0, 1));
    assert!(registry.broken[0].has_last_good);
}

#[test]
fn another_version_compiles_anew_from_the_bytes() {
    let site = site();
    let own = env!("CARGO_PKG_VERSION").as_bytes();
    let other = vec![b'x'; own.len()];
    let mut image = patch(&fs::read(site.cache()).unwrap(), own, &other);
    // its compiled forms mean nothing here
    while let Some(form) = image.windows(8).position(|window| window == b"{\"name\":") {
        image[form + 1] = b'!';
    }
    fs::write(site.cache(), &image).unwrap();
    assert!(site.warm().is_none());
    read_since();
    let registry = site.load();
    assert_eq!(read_since(), ["a.yaml", "b.yaml", "c.yaml"]);
    assert_eq!(names(&registry), [("a", 1), ("b", 2), ("c", 3)]);
    assert!(registry.broken[0].has_last_good && site.warm().is_some());
    // another format is another file
    image[12] ^= 1;
    assert!(!check(&site, &image, "another format"));
}

#[test]
fn another_build_of_the_same_version_heals_it() {
    let site = site();
    // as though a key had come since: whole, and yet nothing that can be read
    let mut image = fs::read(site.cache()).unwrap();
    let end = index::HEADER_BYTES + index::index_length(&image).unwrap();
    while let Some(form) = image[end..].windows(7).position(|window| window == b"\"name\":") {
        let piece = end + form - 1;
        // the text as a piece of its own, not the one in the form
        let length = 1 + image[piece..].windows(9).position(|w| w == b"}events: ").unwrap();
        let before = encoding::checksum(&image[piece..piece + length]);
        image[piece + 1..piece + 5].copy_from_slice(b"\"nam");
        image[piece + 5] = b'\'';
        let after = encoding::checksum(&image[piece..piece + length]);
        image = patch(&image, &before.to_le_bytes(), &after.to_le_bytes());
    }
    fs::write(site.cache(), &image).unwrap();
    assert!(site.warm().is_none());
    assert_eq!(names(&site.load()), [("a", 1), ("b", 2), ("c", 3)]);
    assert!(site.warm().is_some());
}

#[test]
fn other_roots_are_another_registry() {
    let mut site = site();
    site.make_directory("low/hooks.d");
    site.write("low/hooks.d/d.yaml", &text(EVENT, 4));
    site.load();
    let roots = std::mem::take(&mut site.settings.roots);
    assert!(site.warm().is_none());
    assert_eq!(names(&site.load()), [("a", 1), ("b", 2), ("c", 3)]);
    site.settings.roots = roots.into_iter().rev().collect();
    assert!(site.warm().is_none());
    assert_eq!(names(&site.load()), [("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
}

#[test]
fn what_was_good_under_a_laxer_policy_is_not_believed() {
    let mut site = Site::with_hooks();
    site.add("a", &text(EVENT, 1));
    site.mode("high/hooks.d/a.yaml", 0o666);
    site.settings.trust = TrustPolicy::Warn;
    assert_eq!(names(&site.load()), [("a", 1)]);
    assert_eq!(told(&site.load()), told(&site.truth()));
    site.settings.trust = TrustPolicy::Refuse;
    assert!(!site.load().broken[0].has_last_good);
    assert_eq!(told(&site.load()), told(&site.truth()));
    site.settings.trust = TrustPolicy::Warn;
    assert_eq!(told(&site.load()), told(&site.truth()));
    // the other way round what was good stays good
    let mut site = self::site();
    site.settings.trust = TrustPolicy::Warn;
    assert!(site.load().broken[0].has_last_good);
}

#[test]
fn a_foreign_cache_is_as_none() {
    for mode in [0o620, 0o602, 0o4600] {
        let site = site();
        fs::set_permissions(site.cache(), Permissions::from_mode(mode)).unwrap();
        assert!(!site.load().broken[0].has_last_good, "{mode:o}");
        assert_eq!(fs::metadata(site.cache()).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(told(&site.load()), told(&site.truth()));
    }
    if nix::unistd::geteuid().is_root() {
        let site = site();
        std::os::unix::fs::chown(site.cache(), Some(4321), None).unwrap();
        assert!(!site.load().broken[0].has_last_good);
        assert_eq!(fs::metadata(site.cache()).unwrap().uid(), 0);
        // and so is one that was another user's to trust
        assert!(site.warm().is_some());
        let user =
            load_at(&site.settings, &Trust::new(4321), &|_| true, now() + Duration::from_secs(10));
        assert_eq!(told(&user), told(&site.truth()));
    }
}

#[test]
fn without_a_place_to_keep_it_everything_is_compiled() {
    let mut site = Site::with_hooks();
    site.add("a", &text(EVENT, 1));
    site.add("b", "events: [\n");
    site.write("elsewhere/file", "");
    site.settings.state_dir = Dir::of_test(&site.path("elsewhere/file/state"));
    for _ in 0..2 {
        assert_eq!(told(&site.load()), told(&site.truth()));
    }
    // where others could write, nothing is kept
    site.mode("elsewhere", 0o757);
    site.settings.state_dir = Dir::of_test(&site.path("elsewhere/state"));
    for _ in 0..2 {
        assert_eq!(told(&site.load()), told(&site.truth()));
    }
    assert!(!site.cache().exists());
    // nor under the name of a directory
    site.settings.state_dir = Dir::of_test(&site.path("state"));
    fs::create_dir_all(site.cache()).unwrap();
    site.mode("state", 0o700);
    site.mode("state/cache", 0o700);
    for _ in 0..2 {
        assert_eq!(told(&site.load()), told(&site.truth()));
    }
}
