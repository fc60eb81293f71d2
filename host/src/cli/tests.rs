//! The commands that the README and the manual show.

use super::*;

const PAGES: [(&str, &str); 2] = [
    ("README.md", include_str!("../../../README.md")),
    ("host/MANUAL.md", include_str!("../../MANUAL.md")),
];

/// The lines of a page's code blocks that begin with `corral `.
fn commands(page: &str) -> Vec<&str> {
    let blocks = page.split("```").skip(1).step_by(2);
    blocks.flat_map(str::lines).filter(|line| line.starts_with("corral ")).collect()
}

/// The words of a command as a shell sees them, without its comment; each optional part is given.
fn words(command: &str) -> Vec<String> {
    let command = command.split(" #").next().unwrap().replace(['[', ']'], "");
    let quoted = command.split('\'').enumerate();
    quoted
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

#[test]
fn each_command_of_the_readme_and_the_manual_is_one() {
    for (name, page) in PAGES {
        let commands = commands(page);
        assert!(commands.len() > 5, "{name}: {commands:?}");
        for command in commands {
            if let Err(error) = Cli::try_parse_from(words(command)) {
                panic!("{name}: {command}: {error}");
            }
        }
    }
}

#[test]
fn a_command_that_does_not_exist_is_noticed() {
    for command in ["corral polish my.wasm", "corral policy push my.wasm --uri http://127.0.0.1"] {
        assert!(Cli::try_parse_from(words(command)).is_err(), "{command}");
    }
}

#[test]
fn the_policy_in_the_readme_is_the_one_that_authors_get() {
    let (_, readme) = PAGES[0];
    let example = readme.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    let author = include_str!("../../templates/rust/src/lib.rs");
    let author: Vec<&str> = author.lines().map(str::trim).collect();
    for line in example.lines().map(str::trim) {
        assert!(author.contains(&line), "the template has no line: {line}");
    }
}
