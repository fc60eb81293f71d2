//! The columns that an UPDATE sets, from its text.
//!
//! They are read from the text because no database tells them: a plan has the new values without
//! the columns' names. A statement that is not understood beyond doubt yields `None`, and every
//! column then counts as set.

use std::collections::BTreeSet;

use super::tokens::{Dialect, SqlToken, TokenKind, tokens};

/// What an UPDATE says that it sets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignments {
    /// The table, as the statement spells it.
    pub(super) target: String,
    /// The columns, as Postgres folds their names.
    pub(super) columns: BTreeSet<String>,
}

/// Reads `[WITH …] UPDATE [ONLY] table [[AS] alias] SET column = …, (column, …) = … [FROM … WHERE …]`.
/// `None` if the statement is no UPDATE, or one of another form.
pub(super) fn of(sql: &str, dialect: Dialect) -> Option<Assignments> {
    let tokens = tokens(sql, dialect);
    let mut rest = Rest { tokens: &tokens };
    if rest.next_is("WITH") {
        rest.skip_to_verb()?;
    }
    if !rest.next_is("UPDATE") {
        return None;
    }
    rest.next_is("ONLY");
    let target = rest.target()?;
    let columns = rest.columns()?;
    Some(Assignments { target, columns })
}

/// The keyword that says what a statement does, in capitals, past common table expressions.
#[cfg(feature = "sqlite")]
pub(super) fn verb(sql: &str, dialect: Dialect) -> Option<String> {
    let tokens = tokens(sql, dialect);
    let mut rest = Rest { tokens: &tokens };
    if rest.next_is("WITH") {
        rest.skip_to_verb()?;
    }
    rest.next().map(|token| token.text.to_ascii_uppercase())
}

/// What is left of a statement.
struct Rest<'t, 's> {
    tokens: &'t [SqlToken<'s>],
}

impl<'s> Rest<'_, 's> {
    fn next(&mut self) -> Option<SqlToken<'s>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(*first)
    }

    fn peek(&self) -> Option<&SqlToken<'s>> {
        self.tokens.first()
    }

    /// Takes the keyword, if it is next.
    fn next_is(&mut self, keyword: &str) -> bool {
        let is_next = self.peek().is_some_and(|token| token.is(keyword));
        if is_next {
            self.next();
        }
        is_next
    }

    /// Takes the character, if it is next.
    fn next_is_symbol(&mut self, symbol: &str) -> bool {
        let is_next = self.peek().is_some_and(|token| token.is_symbol(symbol));
        if is_next {
            self.next();
        }
        is_next
    }

    /// Leaves out common table expressions, up to the verb that follows them.
    fn skip_to_verb(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            let verbs = ["UPDATE", "INSERT", "DELETE", "MERGE", "REPLACE", "SELECT", "VALUES"];
            if depth == 0 && verbs.iter().any(|verb| token.is(verb)) {
                return Some(());
            }
            depth = deeper(depth, token)?;
            self.next();
        }
        None
    }

    /// The table and its alias, up to SET.
    fn target(&mut self) -> Option<String> {
        let mut target = String::new();
        loop {
            let part = self.next()?;
            part.name()?;
            target.push_str(part.text);
            if !self.next_is_symbol(".") {
                break;
            }
            target.push('.');
        }
        self.next_is_symbol("*");
        // An alias may be called SET only after AS.
        if self.next_is("AS") || self.peek().is_some_and(|token| !token.is("SET")) {
            self.next()?.name()?;
        }
        self.next_is("SET").then_some(target)
    }

    fn columns(&mut self) -> Option<BTreeSet<String>> {
        let mut columns = BTreeSet::new();
        loop {
            if self.next_is_symbol("(") {
                self.columns_in_brackets(&mut columns)?;
            } else {
                columns.insert(self.next()?.name()?);
                self.skip_to_equals()?;
            }
            if !self.skip_value()? {
                return Some(columns);
            }
        }
    }

    /// `column, …) =`
    fn columns_in_brackets(&mut self, columns: &mut BTreeSet<String>) -> Option<()> {
        loop {
            columns.insert(self.next()?.name()?);
            if self.next_is_symbol(",") {
                continue;
            }
            return (self.next_is_symbol(")") && self.next_is_symbol("=")).then_some(());
        }
    }

    /// A column may be followed by a field or an index, which is a part of it.
    fn skip_to_equals(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            let token = self.next()?;
            if depth == 0 && token.is_symbol("=") {
                return Some(());
            }
            depth = deeper(depth, &token)?;
        }
    }

    /// Skips the value that a column is set to. `Some(true)` if another column follows; `None` if a
    /// bracket is not closed.
    fn skip_value(&mut self) -> Option<bool> {
        let (mut depth, mut is_distinct) = (0, false);
        loop {
            let Some(token) = self.next() else { return (depth == 0).then_some(false) };
            if depth == 0 {
                if token.is_symbol(",") {
                    return Some(true);
                }
                // `a IS DISTINCT FROM b` goes on.
                let ends = token.is("FROM") && !is_distinct;
                if ends || ["WHERE", "RETURNING"].iter().any(|word| token.is(word)) {
                    return Some(false);
                }
            }
            is_distinct = token.is("DISTINCT");
            depth = deeper(depth, &token)?;
        }
    }
}

/// How many brackets are open after a token. `None` if it closes a bracket that was not open.
fn deeper(depth: usize, token: &SqlToken<'_>) -> Option<usize> {
    match (token.kind, token.text) {
        (TokenKind::Symbol, "(" | "[") => Some(depth + 1),
        (TokenKind::Symbol, ")" | "]") => depth.checked_sub(1),
        _ => Some(depth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSTGRES: Dialect = Dialect::Postgres { has_backslashes: false };

    #[test]
    fn the_columns_of_an_update_are_those_before_equals() {
        let statements = [
            ("UPDATE t SET a = 1", "t", "a"),
            (
                "update only \"T\".t as u set A = u.b, \"C\" = 'x, d = 1' where e = 2",
                "\"T\".t",
                "C a",
            ),
            ("UPDATE t * u SET (a, b) = (SELECT c, d FROM e), f = DEFAULT FROM g, h", "t", "a b f"),
            ("UPDATE t AS set SET a[1] = 1, b.c = ARRAY[1, 2], d = f(1, g = 2)", "t", "a b d"),
            ("UPDATE t SET a = b IS NOT DISTINCT FROM c, d = extract(day FROM e)", "t", "a d"),
            (
                "WITH x AS (UPDATE u SET z = 1 RETURNING *), y(a) AS (SELECT 1)\n\
              UPDATE t SET a = (SELECT a FROM y) RETURNING b",
                "t",
                "a",
            ),
            (
                "UPDATE t SET a = CASE WHEN b = 1 THEN 2 ELSE 3 END, c = $1 /* , d = 1 */",
                "t",
                "a c",
            ),
        ];
        for (sql, target, columns) in statements {
            let found = of(sql, POSTGRES).unwrap();
            let names: Vec<&str> = found.columns.iter().map(String::as_str).collect();
            assert_eq!(
                (found.target.as_str(), names.join(" ").as_str()),
                (target, columns),
                "{sql}"
            );
        }
    }

    #[test]
    fn the_verb_of_a_statement_comes_after_its_common_table_expressions() {
        let sql = "WITH x AS (SELECT 1), y AS (SELECT 2) /* SELECT */ insert INTO t SELECT 1";
        assert_eq!(verb(sql, Dialect::Sqlite).as_deref(), Some("INSERT"));
        assert_eq!(verb("Replace INTO t VALUES (1)", Dialect::Sqlite).as_deref(), Some("REPLACE"));
        assert_eq!(verb("", Dialect::Sqlite), None);
    }

    #[test]
    fn what_is_no_plain_update_is_not_told() {
        for sql in [
            "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1",
            "DELETE FROM t",
            "UPDATE t",
            "UPDATE t SET",
            "UPDATE t SET a",
            "UPDATE t SET a = (1",
            "UPDATE t SET a = 1)",
            "UPDATE ONLY (t) SET a = 1",
            "WITH x AS (SELECT 1) DELETE FROM t",
            "WITH update AS (SELECT 1) UPDATE t SET a = 1",
            "",
        ] {
            assert_eq!(of(sql, POSTGRES), None, "{sql}");
        }
        for sql in ["UPDATE OR REPLACE t SET a = 1", "UPDATE t INDEXED BY i SET a = 1"] {
            assert_eq!(of(sql, Dialect::Sqlite), None, "{sql}");
        }
    }
}
