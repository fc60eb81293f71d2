//! What can be told of a write from its SQL alone: whether it makes rows, and which columns it sets.
//!
//! This is no parser of SQL: it splits a statement into tokens and looks at those outside
//! parentheses. What it finds is certain; what it can't tell, such as what a function does, is left
//! out.

/// What a statement does, as far as its text says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    /// It makes rows: `INSERT`, `MERGE`, `REPLACE`.
    pub(super) makes_rows: bool,
    /// What it sets in rows that exist.
    pub(super) sets: Vec<Set>,
}

/// `column = …`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// The column.
    pub(super) column: String,
    /// The parameter that is its new value, from 0; `None` if the value is something else.
    pub(super) to: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum StatementToken {
    /// A word without quotes, in lower case.
    Word(String),
    /// A name in double quotes.
    Quoted(String),
    /// `$1` is 0.
    Parameter(usize),
    /// A text, a number.
    Literal,
    Sign(char),
}

impl Statement {
    /// Reads a statement. Nothing is found in one whose quotes do not match.
    pub(super) fn read(sql: &str) -> Self {
        let Some(tokens) = tokens(sql) else { return Self::default() };
        let outside = outside(&tokens);
        let makes = |word: &str| matches!(word, "insert" | "merge" | "replace");
        let makes_rows = match tokens.first().and_then(StatementToken::word) {
            Some("with") => tokens.windows(2).any(|pair| match (pair[0].word(), pair[1].word()) {
                (Some(verb), Some("into")) => makes(verb),
                (Some(_) | None, _) => false,
            }),
            verb => verb.is_some_and(makes),
        };
        let inserted = inserted(&tokens);
        let mut sets = Vec::new();
        let mut updates = false;
        for (at, (token, depth)) in outside.iter().enumerate() {
            updates |= *depth == 0 && token.is("update");
            if updates && *depth == 0 && token.is("set") {
                sets.extend(assignments(&outside[at + 1..], &inserted));
            }
        }
        Self { makes_rows, sets }
    }

    /// Whether it sets this column.
    pub(super) fn is_set(&self, column: &str) -> bool {
        self.sets.iter().any(|set| set.column == column)
    }

    /// The column whose new value this parameter is.
    pub(super) fn set_to(&self, parameter: usize) -> Option<&str> {
        let set = self.sets.iter().find(|set| set.to == Some(parameter))?;
        Some(&set.column)
    }
}

impl StatementToken {
    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Quoted(_) | Self::Parameter(_) | Self::Literal | Self::Sign(_) => None,
        }
    }

    fn is(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    /// What it names: words are folded to lower case, as databases do it.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::Parameter(_) | Self::Literal | Self::Sign(_) => None,
        }
    }
}

/// Each token with the number of parentheses and `CASE`s around it. The tokens that open and close
/// a pair stand outside of it.
fn outside(tokens: &[StatementToken]) -> Vec<(&StatementToken, usize)> {
    let mut depth: usize = 0;
    let at_depth = |token| {
        let closes = matches!(token, &StatementToken::Sign(')' | ']')) || token.is("end");
        depth -= usize::from(closes && depth > 0);
        let own = depth;
        depth += usize::from(matches!(token, &StatementToken::Sign('(' | '[')) || token.is("case"));
        (token, own)
    };
    tokens.iter().map(at_depth).collect()
}

/// `(a, b) VALUES ($1, $2)`: what `excluded.a` and `excluded.b` are.
fn inserted(tokens: &[StatementToken]) -> Vec<Set> {
    let Some(values) = tokens.iter().position(|token| token.is("values")) else {
        return Vec::new();
    };
    let Some(opens) =
        tokens[..values].iter().rposition(|token| *token == StatementToken::Sign('('))
    else {
        return Vec::new();
    };
    let names = list(&tokens[opens..values]);
    let given = list(&tokens[values + 1..]);
    let pair = |(name, value): (&[StatementToken], &[StatementToken])| {
        Some(Set { column: name.first()?.name()?.to_owned(), to: parameter(value) })
    };
    names.into_iter().zip(given).filter_map(pair).collect()
}

/// The items of a list in parentheses that `tokens` begin with.
fn list(tokens: &[StatementToken]) -> Vec<&[StatementToken]> {
    let [StatementToken::Sign('('), rest @ ..] = tokens else { return Vec::new() };
    let inside = |(token, depth): &(&StatementToken, usize)| {
        *depth > 0 || **token != StatementToken::Sign(')')
    };
    let end = outside(rest).into_iter().take_while(inside).count();
    split(&rest[..end])
}

/// The parts between commas outside of parentheses.
fn split(tokens: &[StatementToken]) -> Vec<&[StatementToken]> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, (token, depth)) in outside(tokens).iter().enumerate() {
        if *depth == 0 && **token == StatementToken::Sign(',') {
            parts.push(&tokens[from..at]);
            from = at + 1;
        }
    }
    parts.push(&tokens[from..]);
    parts
}

/// The assignments after a `SET`.
fn assignments(tokens: &[(&StatementToken, usize)], inserted: &[Set]) -> Vec<Set> {
    const AFTER: [&str; 6] = ["from", "where", "returning", "order", "limit", "when"];
    let ends = |(token, depth): &&(&StatementToken, usize)| {
        *depth > 0 || !token.word().is_some_and(|word| AFTER.contains(&word))
    };
    let whole: Vec<StatementToken> =
        tokens.iter().take_while(ends).map(|(t, _)| (*t).clone()).collect();
    split(&whole).into_iter().flat_map(|part| assignment(part, inserted)).collect()
}

/// `a = $1`, `"A" = …`, `(a, b) = …`.
fn assignment(tokens: &[StatementToken], inserted: &[Set]) -> Vec<Set> {
    if tokens.first() == Some(&StatementToken::Sign('(')) {
        let names = list(tokens).into_iter().filter_map(|name| name.first()?.name());
        return names.map(|name| Set { column: name.to_owned(), to: None }).collect();
    }
    let Some(column) = tokens.first().and_then(StatementToken::name) else { return Vec::new() };
    let value = match tokens {
        [_, StatementToken::Sign('='), value @ ..] => value,
        // A part of the column is set, `a[1] = …`, so the column changes too.
        _ => &[],
    };
    let to = match value {
        [table, StatementToken::Sign('.'), name] if table.is("excluded") => {
            let found = inserted.iter().find(|set| Some(set.column.as_str()) == name.name());
            found.and_then(|set| set.to)
        }
        value => parameter(value),
    };
    vec![Set { column: column.to_owned(), to }]
}

/// `$1`, or `$1::text`.
fn parameter(tokens: &[StatementToken]) -> Option<usize> {
    match tokens {
        [StatementToken::Parameter(at)] => Some(*at),
        [
            StatementToken::Parameter(at),
            StatementToken::Sign(':'),
            StatementToken::Sign(':'),
            ..,
        ] => Some(*at),
        _ => None,
    }
}

/// `None` if a quote or a comment does not end.
fn tokens(sql: &str) -> Option<Vec<StatementToken>> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            c if c.is_whitespace() => (None, &rest[c.len_utf8()..]),
            '-' if rest.starts_with("--") => (None, rest.find('\n').map_or("", |at| &rest[at..])),
            '/' if rest.starts_with("/*") => (None, after_comment(rest)?),
            '\'' => (Some(StatementToken::Literal), after_quote(rest, '\'')?.1),
            '"' => after_quote(rest, '"')
                .map(|(name, after)| (Some(StatementToken::Quoted(name)), after))?,
            '$' => dollar(rest)?,
            c if c.is_alphabetic() || c == '_' => word(rest)?,
            c if c.is_ascii_digit() => (Some(StatementToken::Literal), after_word(rest)),
            c => (Some(StatementToken::Sign(c)), &rest[c.len_utf8()..]),
        };
        tokens.extend(token);
        rest = after;
    }
    Some(tokens)
}

fn after_word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$')));
    end.map_or("", |end| &text[end..])
}

/// A word, or a text with a letter before its quote: `E'\''`.
fn word(text: &str) -> Option<(Option<StatementToken>, &str)> {
    let after = after_word(text);
    let word = text[..text.len() - after.len()].to_lowercase();
    match (word.as_str(), after.starts_with('\'')) {
        ("e", true) => {
            let mut escaped = false;
            let end = after[1..].find(|c| {
                let ends = c == '\'' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })?;
            Some((Some(StatementToken::Literal), &after[end + 2..]))
        }
        (_, true | false) => Some((Some(StatementToken::Word(word)), after)),
    }
}

/// A parameter, or a text between dollars.
fn dollar(text: &str) -> Option<(Option<StatementToken>, &str)> {
    let after = after_word(&text[1..]);
    let name = &text[1..text.len() - after.len()];
    if let Ok(number) = name.parse::<usize>() {
        return Some((Some(StatementToken::Parameter(number.checked_sub(1)?)), after));
    }
    let name = name.trim_end_matches('$');
    let mark = format!("${name}$");
    let body = text.strip_prefix(mark.as_str())?;
    let end = body.find(mark.as_str())?;
    Some((Some(StatementToken::Literal), &body[end + mark.len()..]))
}

/// What stands between quotes, where a doubled quote is one, and what follows.
fn after_quote(text: &str, quote: char) -> Option<(String, &str)> {
    let mut inside = String::new();
    let mut rest = &text[quote.len_utf8()..];
    loop {
        let (before, after) = rest.split_once(quote)?;
        inside.push_str(before);
        let Some(more) = after.strip_prefix(quote) else { return Some((inside, after)) };
        inside.push(quote);
        rest = more;
    }
}

/// What follows a comment; comments nest.
fn after_comment(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix("/*")?;
    let mut depth = 1;
    while depth > 0 {
        let at = rest.find("*/")?;
        match rest.find("/*").filter(|opens| *opens < at) {
            Some(opens) => (depth, rest) = (depth + 1, &rest[opens + 2..]),
            None => (depth, rest) = (depth - 1, &rest[at + 2..]),
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Sets<'s> = &'s [(&'s str, Option<usize>)];

    #[test]
    fn the_columns_that_a_statement_sets_are_found_with_their_parameters() {
        let cases: [(&str, Sets<'_>); 13] = [
            ("UPDATE users SET team_id = $2 WHERE id = $1", &[("team_id", Some(1))]),
            (
                "update t set A=$1::int8,\"B\" = lower($2) returning *",
                &[("a", Some(0)), ("B", None)],
            ),
            (
                "UPDATE t SET (a, b) = ($1, $2), c = DEFAULT",
                &[("a", None), ("b", None), ("c", None)],
            ),
            ("UPDATE t SET a[1] = $1, b.c = $2", &[("a", None), ("b", None)]),
            (
                "UPDATE t SET a = CASE WHEN b FROM 1 THEN 2 END, c = (SELECT 1 WHERE true), d = $1 FROM o",
                &[("a", None), ("c", None), ("d", Some(0))],
            ),
            (
                "UPDATE t /* SET x = $1 /* , */ */ SET -- y = $2,\n a = 'SET b = ''$1''', c = $q$, d = 1$q$",
                &[("a", None), ("c", None)],
            ),
            ("UPDATE t SET a = E'\\', b = ', c = $3", &[("a", None), ("c", Some(2))]),
            ("WITH o AS (UPDATE x SET z = 1 RETURNING 1) UPDATE t SET a = $1", &[("a", Some(0))]),
            (
                "INSERT INTO t (id, \"T\", n) VALUES ($1, $2, now()) \
                 ON CONFLICT (id) DO UPDATE SET \"T\" = excluded.\"T\", n = EXCLUDED.n, v = t.v + 1",
                &[("T", Some(1)), ("n", None), ("v", None)],
            ),
            ("INSERT INTO t VALUES ($1)", &[]),
            ("SELECT * FROM t FOR UPDATE", &[]),
            ("DELETE FROM t WHERE a = $1", &[]),
            ("UPDATE t SET a = 'never ends", &[]),
        ];
        for (sql, sets) in cases {
            let set =
                |(column, to): &(&str, Option<usize>)| Set { column: (*column).into(), to: *to };
            let expected: Vec<Set> = sets.iter().map(set).collect();
            assert_eq!(Statement::read(sql).sets, expected, "{sql}");
        }
    }

    #[test]
    fn a_statement_that_makes_rows_is_told_from_one_that_does_not() {
        for (sql, makes_rows) in [
            ("INSERT INTO t VALUES ($1)", true),
            ("replace INTO t VALUES ($1)", true),
            ("MERGE INTO t USING s ON true WHEN NOT MATCHED THEN INSERT VALUES (1)", true),
            ("WITH n AS (INSERT INTO t VALUES (1) RETURNING id) SELECT id FROM n", true),
            ("-- INSERT\nUPDATE t SET a = 'INSERT INTO'", false),
            ("WITH o AS (SELECT 1) DELETE FROM t USING o", false),
            ("SELECT make_rows()", false),
            ("", false),
        ] {
            assert_eq!(Statement::read(sql).makes_rows, makes_rows, "{sql}");
        }
    }
}
