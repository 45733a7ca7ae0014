//! hugepages: guests have huge pages of their own while they run.

use std::fs;

use super::made_up::{Contrib, Guest};

/// What the kernel does when a number of pages is written: no node has more than its limit, and the host as a whole has
/// what its nodes have.
const KERNEL: &str = r#"
value=$(cat)
case $1 in
    */nr_hugepages) log "${1#"$F"} $value" ;;
    *)
        log "${1#"$F"}"
        printf '%s\n' "$value" >"$1"
        exit
        ;;
esac
size=${1%/nr_hugepages}
size=${size##*/}
[ ! -e "$T/kill" ] || [ "$(cat "$T/kill")" != "${1#"$F/"}" ] || kill -KILL "$PPID"
[ ! -e "$T/refuse" ] || {
    echo "tee: $1: Invalid argument" >&2
    exit 1
}
set_node() {
    limit=$(cat "$T/limit-$1" 2>/dev/null || echo 1000000)
    [ "$2" -le "$limit" ] || set -- "$1" "$limit"
    printf '%s\n' "$2" >"$F/sys/devices/system/node/$1/hugepages/$size/nr_hugepages"
}
of() { cat "$F/sys/devices/system/node/$1/hugepages/$size/nr_hugepages"; }
if [ ! -d "$F/sys/devices/system/node" ]; then
    printf '%s\n' "$value" >"$1"
    exit
fi
case $1 in
    */node/node*)
        node=${1#*/node/}
        set_node "${node%%/*}" "$value"
        ;;
    *)
        more=$((value - $(of node0) - $(of node1)))
        half=$((more / 2))
        set_node node0 $(($(of node0) + more - half))
        set_node node1 $((value - $(of node0)))
        set_node node0 $((value - $(of node1)))
        ;;
esac
printf '%s\n' $(($(of node0) + $(of node1))) >"$F/sys/kernel/mm/hugepages/$size/nr_hugepages"
[ ! -e "$T/kill-after" ] || [ "$(cat "$T/kill-after")" != "${1#"$F/"}" ] || kill -KILL "$PPID"
"#;

/// A host of two nodes with some pages of its own.
fn host() -> Contrib {
    let contrib = Contrib::new("hugepages", "");
    contrib.tool("tee", KERNEL).tool("sleep", "log sleep");
    for (size, own) in [("hugepages-2048kB", ["3", "1", "4"]), ("hugepages-1048576kB", ["0"; 3])] {
        contrib.files(&[
            (&format!("sys/devices/system/node/node0/hugepages/{size}/nr_hugepages"), own[0]),
            (&format!("sys/devices/system/node/node1/hugepages/{size}/nr_hugepages"), own[1]),
            (&format!("sys/kernel/mm/hugepages/{size}/nr_hugepages"), own[2]),
        ]);
    }
    contrib.files(&[
        ("sys/devices/system/node/online", "0-1"),
        (
            "proc/meminfo",
            "MemTotal: 8000000 kB\nMemAvailable: 7000000 kB\nHugepagesize:       2048 kB",
        ),
        ("proc/sys/vm/compact_memory", "1"),
        ("proc/sys/vm/drop_caches", "1"),
    ]);
    contrib
}

/// How many pages each node has: 2 MiB and 1 GiB of node 0, then of node 1.
fn pages(contrib: &Contrib) -> [u64; 4] {
    [(0, "2048"), (0, "1048576"), (1, "2048"), (1, "1048576")].map(|(node, size)| {
        let place =
            format!("sys/devices/system/node/node{node}/hugepages/hugepages-{size}kB/nr_hugepages");
        contrib.read(&place).parse().unwrap()
    })
}

fn guest(name: &'static str, elements: &str) -> Guest {
    Guest::new(name, &[("hugepages", "yes")], elements)
}

/// A guest of this many MiB.
fn small(name: &'static str, mib: u32) -> Guest {
    guest(
        name,
        &format!("<memory unit='MiB'>{mib}</memory><memoryBacking><hugepages/></memoryBacking>"),
    )
}

/// How many pages of 2 MiB the host has.
const ALL: &str = "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const STRICT: &str = "<numatune><memory mode='strict' nodeset='1'/></numatune>";

#[test]
fn a_guest_has_pages_while_it_runs() {
    let contrib = host();
    contrib.lives(&small("g", 1024), || assert_eq!(contrib.read(ALL), "516"));
}

#[test]
fn the_document_says_how_many_pages_of_which_size_from_which_node() {
    let cells = "<memory unit='KiB'>6291456</memory><cpu><numa>\
        <cell id='0' cpus='0' memory='2097152' unit='KiB'/><cell id='1' cpus='1' memory='2' unit='GiB'/></numa></cpu>";
    let sizes = "<memoryBacking><hugepages><page size='1' unit='G' nodeset='1'/><page size='2' unit='M'/></hugepages></memoryBacking>";
    let some = "<memoryBacking><hugepages><page size='1048576' unit='KiB' nodeset='1'/></hugepages></memoryBacking>";
    let by_cell = "<numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='0' mode='strict' nodeset='1'/>\
        <memnode cellid='1' mode='preferred' nodeset='0'/></numatune>";
    for (elements, wanted) in [
        // half a page more is a whole one
        ("<memory unit='KiB'>4097</memory><memoryBacking><hugepages/></memoryBacking>".to_owned() + STRICT, [3, 0, 4, 0]),
        ("<memory>4096</memory><memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages></memoryBacking>".to_owned() + STRICT, [3, 0, 3, 0]),
        ("<memory unit='GB'>4</memory><memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages></memoryBacking>".to_owned() + STRICT, [3, 0, 1, 4]),
        ("<memory unit='bytes'>2097153</memory><memoryBacking><hugepages/></memoryBacking>".to_owned() + STRICT, [3, 0, 3, 0]),
        // strict on two nodes: from both
        ("<memory unit='MiB'>10</memory><memoryBacking><hugepages/></memoryBacking><numatune><memory mode='interleave' nodeset='0,1'/></numatune>".to_owned(), [6, 0, 3, 0]),
        (format!("{cells}{sizes}{by_cell}"), [3, 2, 1025, 0]),
        // a cell that no <page> is for has ordinary memory
        (format!("{cells}{some}{by_cell}"), [3, 2, 1, 0]),
        // pages of the ordinary size aren't taken
        ("<memory unit='GiB'>1</memory><memoryBacking><hugepages><page size='4' unit='KiB'/></hugepages></memoryBacking>".to_owned(), [3, 0, 1, 0]),
    ] {
        let contrib = host();
        let before = contrib.everything();
        let guest = guest("g", &elements);
        contrib.starts(&guest);
        assert_eq!(pages(&contrib), wanted, "{elements}");
        contrib.ends(&guest);
        assert_eq!(contrib.everything(), before, "{elements}");
    }
}

#[test]
fn memory_devices_come_on_top_of_cells() {
    let contrib = host();
    let before = contrib.everything();
    let guest = guest(
        "g",
        "<memory unit='MiB'>8</memory><memoryBacking><hugepages/></memoryBacking><numatune><memory nodeset='0'/></numatune>\
         <cpu><numa><cell id='0' cpus='0' memory='4' unit='MiB'/></numa></cpu><devices>\
         <memory model='dimm'><target><size unit='MiB'>4</size><node>0</node></target></memory>\
         <memory model='dimm'><source><pagesize unit='GiB'>1</pagesize><nodemask>1</nodemask></source>\
         <target><size unit='GiB'>2</size><node>0</node></target></memory>\
         <memory model='virtio-mem'><target><size unit='GiB'>8</size><node>0</node><requested unit='MiB'>6</requested></target></memory>\
         <memory model='nvdimm'><source><path>/x</path></source><target><size unit='GiB'>1</size></target></memory></devices>",
    );
    contrib.starts(&guest);
    assert_eq!(pages(&contrib), [3 + 2 + 2 + 3, 0, 1, 2]);
    contrib.ends(&guest);
    assert_eq!(contrib.everything(), before);
}

#[test]
fn each_guest_gives_back_its_own() {
    let contrib = host();
    contrib.share([&small("one", 20), &small("two", 6)], |running| {
        let wanted = match running {
            ["one"] => "14",
            ["two"] => "7",
            _ => "17",
        };
        assert_eq!(contrib.read(ALL), wanted, "{running:?}");
    });
}

#[test]
fn too_few_pages_are_given_back_and_the_guest_does_not_start() {
    let contrib = host();
    fs::write(contrib.host.path("limit-node1"), "101").unwrap();
    let before = contrib.everything();
    let mut guest = small("g", 1024);
    guest.elements.push_str(STRICT);
    let answer = contrib.prepare(&guest);
    answer.fails(1, &["hugepages: guest g: got 100 of 512 pages of 2048 KiB on node 1: "]);
    contrib.is_again(&before);
    // it was tried five times, and memory compacted in between
    let [caches, memory] = ["/proc/sys/vm/drop_caches", "/proc/sys/vm/compact_memory"];
    let mut wanted = vec![caches, memory];
    wanted.extend([caches, memory, "sleep"].repeat(3));
    let mut log = contrib.host.log();
    log.retain(|line| !line.contains("/nr_hugepages "));
    assert_eq!(log, wanted);
    fs::write(contrib.host.path("refuse"), "").unwrap();
    contrib
        .prepare(&guest)
        .fails(1, &["nr_hugepages: Invalid argument", "gives no pages of 2048 KiB"]);
    assert_eq!(contrib.everything(), before);
}

#[test]
fn what_one_node_lacks_another_gives_where_it_may() {
    for (tune, wanted) in [
        ("<numatune><memory mode='strict' nodeset='0-1'/></numatune>", Some([9, 0, 5, 0])),
        ("<numatune><memory mode='preferred' nodeset='1'/></numatune>", Some([9, 0, 5, 0])),
        ("", Some([9, 0, 5, 0])),
        ("<numatune><memory mode='strict' nodeset='1'/></numatune>", None),
    ] {
        let contrib = host();
        fs::write(contrib.host.path("limit-node1"), "5").unwrap();
        let before = contrib.everything();
        let mut guest = small("g", 20);
        guest.elements.push_str(tune);
        match wanted {
            Some(wanted) => {
                contrib.starts(&guest);
                assert_eq!(pages(&contrib), wanted, "{tune}");
                contrib.ends(&guest);
            }
            None => drop(contrib.prepare(&guest).fails(1, &["got 4 of 10 pages"])),
        }
        assert_eq!(contrib.everything(), before, "{tune}");
    }
}

#[test]
fn pages_that_somebody_has_taken_away_are_not_taken_twice() {
    let contrib = host();
    let [mut one, mut two] = [small("one", 20), small("two", 20)];
    one.elements.push_str(STRICT);
    two.elements.push_str(STRICT);
    contrib.starts(&one);
    contrib.starts(&two);
    // 21 of them, of which one is the host's own
    let place = "sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";
    contrib.files(&[(place, "17")]);
    let words = "4 of the 10 pages of 2048 KiB that it had taken from node1 are gone";
    contrib.release(&two).tells(words);
    assert_eq!(contrib.read(place), "11");
    contrib.ends(&one);
    assert_eq!(contrib.read(place), "1");
    // and what somebody adds stays
    contrib.starts(&one);
    contrib.files(&[(place, "16")]);
    contrib.ends(&one);
    assert_eq!(contrib.read(place), "6");
    assert!(contrib.kept().is_empty(), "{:?}", contrib.kept());
}

#[test]
fn what_a_killed_hook_had_taken_is_given_back() {
    for (node, when) in
        [("node0", "kill"), ("node0", "kill-after"), ("node1", "kill"), ("node1", "kill-after")]
    {
        let contrib = host();
        let before = contrib.everything();
        let kill = contrib.host.path(when);
        let place =
            format!("sys/devices/system/node/{node}/hugepages/hugepages-2048kB/nr_hugepages");
        fs::write(&kill, &place).unwrap();
        let mut guest = small("g", 20);
        guest.elements.push_str("<numatune><memory mode='strict' nodeset='0-1'/></numatune>");
        contrib.prepare(&guest).fails(137, &["hugepages"]);
        fs::remove_file(&kill).unwrap();
        // as hookmux does it where it was killed too
        contrib.undo_again(&guest).succeeds();
        assert_eq!(contrib.everything(), before, "{node} {when}");
        // and killed while it gives back, beside another guest's pages
        let other = small("other", 20);
        contrib.starts(&other);
        let beside = contrib.everything();
        contrib.starts(&guest);
        fs::write(&kill, &place).unwrap();
        contrib.release(&guest).fails("");
        fs::remove_file(&kill).unwrap();
        contrib.next_life(&guest);
        assert_eq!(contrib.everything(), beside, "{node} {when}");
        contrib.ends(&other);
        assert_eq!(contrib.everything(), before, "{node} {when}");
        assert!(contrib.kept().is_empty(), "{node} {when}: {:?}", contrib.kept());
    }
}

#[test]
fn what_a_node_had_is_gone_with_it() {
    let contrib = host();
    let guest = small("g", 20);
    contrib.starts(&guest);
    fs::remove_dir_all(contrib.fake("sys/devices/system/node/node1")).unwrap();
    contrib.tool("tee", r#"cat >"$1""#);
    contrib.ends(&guest);
    assert!(contrib.kept().is_empty(), "{:?}", contrib.kept());
    let left = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";
    assert_eq!(contrib.read(left), "3");
}

#[test]
fn a_kernel_without_nodes_has_one_pool() {
    let contrib = host();
    fs::remove_dir_all(contrib.fake("sys/devices/system/node")).unwrap();
    let before = contrib.everything();
    let mut guest = small("g", 20);
    guest.elements.push_str("<numatune><memory mode='strict' nodeset='0'/></numatune>");
    contrib.starts(&guest);
    assert_eq!(contrib.read(ALL), "14");
    contrib.ends(&guest);
    assert_eq!(contrib.everything(), before);
}

#[test]
fn a_guest_that_does_not_ask_changes_nothing() {
    let guest = small("g", 20);
    host().leaves_alone(&[guest.with(&[]), guest.with(&[("hugepages", "no")])]);
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let contrib = host();
    let mut wrong = small("g", 20);
    wrong.properties[0].1 = "512".to_owned();
    let with = |elements: &str| {
        let mut guest = small("g", 20);
        guest.elements.push_str(elements);
        guest
    };
    let page = |page: &str| {
        let mut guest = small("g", 20);
        let pages = format!("<hugepages>{page}</hugepages>");
        guest.elements = guest.elements.replace("<hugepages/>", &pages);
        guest
    };
    contrib.refuses(&[
        (wrong, "hugepages has '512'; it is yes or no"),
        (guest("g", "<memory>20</memory>"), "its <memoryBacking> has no <hugepages/>"),
        (
            page("<page size='16' unit='MiB'/>"),
            "it wants pages of 16384 KiB, and this kernel has those of (KiB): 1048576 2048",
        ),
        (page("<page size='2' unit='XiB'/>"), "a unit of memory that isn't known: 'XiB'"),
        (small("g", 7000), "it wants 7000 MiB of huge pages, and 6836 MiB of memory are free"),
        (
            guest(
                "g",
                "<memory>99999999999999999999</memory><memoryBacking><hugepages/></memoryBacking>",
            ),
            "an amount of memory that is no number: '99999999999999999999'",
        ),
        (page("<page size='two'/>"), "an amount of memory that is no number: 'two'"),
        (
            with("<numatune><memory nodeset='2'/></numatune>"),
            "it wants memory of node 2, and this host has none: 0-1",
        ),
        (
            with("<numatune><memory nodeset='x'/></numatune>"),
            "a list of nodes that can't be read: 'x'",
        ),
    ]);
}

#[test]
fn whoever_is_killed_nothing_is_left() {
    let contrib = host();
    contrib.bears_deaths(&small("g", 20));
}
