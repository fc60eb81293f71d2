//! What holds for the sources themselves: one meaning for each word, and words for readers in a hurry.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The most lines of a source file.
const LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below `folder` with this extension, by its path from the root, with its content.
fn sources(folder: &str, extension: &str) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
                found.push((name, fs::read_to_string(&path)?));
            }
        }
    }
    assert!(!found.is_empty(), "{folder}");
    Ok(found)
}

fn is_test(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("/tests/") || name.ends_with("testing.rs")
}

/// The type that a line at the left margin defines.
fn defined(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
        Some(rest) => rest.split_once(')').map_or(rest, |(_scope, rest)| rest),
        None => rest,
    });
    let words = line.trim_start().split_once(' ')?;
    let (kind, rest) = words;
    let is_type = matches!(kind, "struct" | "enum" | "trait" | "type" | "union");
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    is_type.then_some(&rest[..end])
}

/// The types that more than one file defines, with the files.
fn ambiguous(files: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut definitions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, source) in files {
        for line in source.lines().filter(|line| !line.starts_with(char::is_whitespace)) {
            if let Some(defined) = defined(line) {
                definitions.entry(defined.to_owned()).or_default().push(name.clone());
            }
        }
    }
    definitions.retain(|_, files| files.len() > 1);
    definitions
}

#[test]
fn a_word_has_one_definition() {
    let mut files = sources("core/src", "rs").unwrap();
    files.extend(sources("host/src", "rs").unwrap());
    files.retain(|(name, _)| !is_test(name));
    let mut found = ambiguous(&files);
    // Where files have no owners, the second stands in for the first.
    found.remove("Shelf");
    assert_eq!(found, BTreeMap::new());
}

#[test]
fn a_word_with_two_definitions_is_noticed() {
    let files = [
        ("a.rs".to_owned(), "pub(super) struct Lease<'a> {\n}\n".to_owned()),
        ("b.rs".to_owned(), "    struct Inner;\npub enum Lease {\n}\ntype Lane = ();\n".to_owned()),
    ];
    let found = ambiguous(&files);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["Lease"]);
}

/// The comments of a source that begin with a value in the place of a sentence, and those that speak of
/// "who" where a noun stands.
fn unclear(source: &str) -> Vec<&str> {
    const PEOPLE: [&str; 8] =
        ["who", "whom", "whoever", "somebody", "nobody", "everybody", "anybody", "someone"];
    let comments = source.lines().filter_map(|line| {
        line.trim_start().strip_prefix("//").map(|text| text.trim_start_matches(['/', '!', ' ']))
    });
    comments
        .filter(|text| {
            let lower = text.to_lowercase();
            let mut words = lower.split(|c: char| !c.is_alphanumeric());
            lower.starts_with("none:") || words.any(|word| PEOPLE.contains(&word))
        })
        .collect()
}

#[test]
fn comments_are_sentences_about_nouns() {
    for folder in ["core/src", "host/src", "tests/src"] {
        for (name, source) in sources(folder, "rs").unwrap() {
            assert_eq!(unclear(&source), [] as [&str; 0], "{name}");
        }
    }
    assert_eq!(
        unclear("x;\n    /// None: absent.\n// Whoever waits.\n// It works."),
        ["None: absent.", "Whoever waits."]
    );
}

#[test]
fn a_file_fits_into_a_head() {
    for folder in ["core", "host/src", "tests/src", "tests/tests"] {
        for (name, source) in sources(folder, "rs").unwrap() {
            let lines = source.lines().count();
            assert!(lines <= LINES, "{name} has {lines} lines: it is more than one thing");
        }
    }
}
