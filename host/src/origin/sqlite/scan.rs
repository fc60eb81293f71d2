//! Finds a statement's words and parameters, past its literals and comments.
//!
//! The driver runs every statement of a text, one after the other, binds nothing to a parameter
//! beyond the given values, and stops its thread at `$0`. So a text is checked before the driver
//! gets it.

use std::collections::BTreeSet;

/// What stands in a statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    first_word: String,
    numbers: BTreeSet<usize>,
    other_parameter: Option<String>,
    has_several_statements: bool,
}

impl Scan {
    pub(super) fn of(sql: &str) -> Self {
        let mut scan = Self::default();
        let mut rest = sql;
        let mut is_ended = false;
        while let Some(first) = rest.chars().next() {
            let length = token_length(rest, first);
            let (token, after) = rest.split_at(length);
            rest = after;
            let is_blank =
                first.is_whitespace() || token.starts_with("--") || token.starts_with("/*");
            if is_blank {
                continue;
            }
            scan.has_several_statements |= is_ended;
            is_ended |= first == ';';
            scan.take(first, token);
        }
        scan
    }

    /// The word that the statement begins with, in capitals.
    pub(super) fn first_word(&self) -> &str {
        &self.first_word
    }

    /// Checks that the driver can run the statement. The error is a sentence.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.has_several_statements {
            return Err("there is more than one statement".to_owned());
        }
        if let Some(parameter) = &self.other_parameter {
            return Err(format!("the parameter {parameter} is not of the form $1, $2, …"));
        }
        Ok(())
    }

    /// Compares with `declared` parameters. The complaints are sentences.
    pub(super) fn compare(&self, declared: usize) -> Vec<String> {
        let beyond = self.numbers.iter().filter(|number| **number > declared);
        let mut complaints: Vec<String> = beyond
            .map(|n| format!("${n} is used, and {declared} parameters are declared"))
            .collect();
        let unused = (1..=declared).filter(|number| !self.numbers.contains(number));
        complaints.extend(unused.map(|n| format!("${n} is declared and not used")));
        complaints
    }

    fn take(&mut self, first: char, token: &str) {
        match first {
            '$' => match token[1..].parse::<usize>() {
                Ok(number) if number > 0 => {
                    self.numbers.insert(number);
                }
                Ok(_) | Err(_) => self.other_parameter = Some(token.to_owned()),
            },
            '?' | '@' | ':' => self.other_parameter = Some(token.to_owned()),
            _ if self.first_word.is_empty() => self.first_word = token.to_ascii_uppercase(),
            _ => {}
        }
    }
}

/// The bytes of the token that the text begins with; at least one character's.
fn token_length(text: &str, first: char) -> usize {
    let until = |end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word_from = |start: usize| {
        text[start..].find(|c| !is_word(c)).map_or(text.len(), |length| start + length)
    };
    match first {
        '-' if text.starts_with("--") => until("\n"),
        '/' if text.starts_with("/*") => until("*/"),
        // A doubled quote inside begins another literal right away, which comes to the same.
        '\'' | '"' | '`' => text[1..].find(first).map_or(text.len(), |at| at + 2),
        '[' => until("]"),
        '$' | '?' | '@' | ':' => word_from(1),
        c if is_word(c) => word_from(0),
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_number_and_not_inside_literals_or_comments() {
        let scan = Scan::of(
            "select '$7 it''s', \"$8\", [$9], `$10` from t -- $11\n where a = $2 /* $12; */ and b=$1",
        );
        assert_eq!(scan.numbers, BTreeSet::from([1, 2]));
        assert_eq!(scan.first_word(), "SELECT");
        assert_eq!(scan.check(), Ok(()));
        assert!(scan.compare(2).is_empty());
    }

    #[test]
    fn a_second_statement_is_noticed_and_a_trailing_semicolon_is_not() {
        assert!(Scan::of("SELECT 1; DELETE FROM t").check().is_err());
        assert!(Scan::of("SELECT 1; -- done").check().is_ok());
        assert!(Scan::of("SELECT ';'").check().is_ok());
    }

    #[test]
    fn parameters_that_the_driver_stumbles_over_are_refused() {
        for sql in ["SELECT $0", "SELECT ?", "SELECT :name", "SELECT @a", "SELECT $name"] {
            assert!(Scan::of(sql).check().is_err(), "{sql}");
        }
    }

    #[test]
    fn a_gap_or_a_surplus_in_the_numbers_is_a_complaint() {
        let complaints = Scan::of("SELECT $1, $3").compare(2);
        assert_eq!(
            complaints,
            ["$3 is used, and 2 parameters are declared", "$2 is declared and not used"]
        );
    }

    #[test]
    fn an_unended_literal_is_read_to_the_end() {
        assert_eq!(Scan::of("SELECT 'a ; $1").numbers, BTreeSet::new());
        assert_eq!(Scan::of("").first_word(), "");
    }
}
