//! The walk through the code in `CONTRIBUTING.md` names files that exist.

use std::path::Path;

#[test]
fn the_files_of_the_walk_exist() {
    let text = include_str!("../../CONTRIBUTING.md").replace("\r\n", "\n");
    let (_, walk) = text.split_once("\n## A walk through the code\n").expect("the section begins like this");
    let walk = walk.split("\n## ").next().unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let is_path = |name: &&str| name.contains('/') && !name.contains(' ');
    let missing: Vec<_> =
        walk.split('`').skip(1).step_by(2).filter(is_path).filter(|name| !root.join(name).exists()).collect();
    assert!(missing.is_empty(), "the walk in CONTRIBUTING.md names {missing:?}");
    // Each direction passes about ten files.
    let rows: Vec<usize> = walk
        .split("| file | what happens there |")
        .skip(1)
        .map(|table| table.lines().skip(2).take_while(|line| line.starts_with("| `rust/")).count())
        .collect();
    assert!(
        rows.len() == 2 && rows.iter().all(|rows| (8..=13).contains(rows)),
        "files of each way: {rows:?}"
    );
}
