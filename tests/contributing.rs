//! The map in CONTRIBUTING.md has every room of the source, and leads nowhere else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../CONTRIBUTING.md");

#[test]
fn the_map_has_every_room() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms: BTreeSet<String> = fs::read_dir(source)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            if entry.path().is_dir() { format!("{name}/") } else { name }
        })
        .filter(|name| name != "lib.rs" && name != "main.rs")
        .collect();
    let map = PAGE.split("\n## The map\n").nth(1).unwrap().split("\n### ").next().unwrap();
    let mapped: BTreeSet<String> = map
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned()))
        .collect();
    assert_eq!(mapped, rooms);
}

#[test]
fn its_paths_are_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for word in PAGE.split('`').skip(1).step_by(2) {
        let is_path = word.ends_with(".rs") || word.ends_with('/');
        let is_plain =
            word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
        if !is_path || !is_plain || word.starts_with("target/") {
            continue;
        }
        seen += 1;
        let is_there = ["", "src", "src/cli"].iter().any(|it| top.join(it).join(word).exists());
        assert!(is_there, "{word} isn't there");
    }
    assert!(seen > 40, "{seen}");
}
