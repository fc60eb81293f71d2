//! A statement taken apart into tokens, as far as parameters and the columns of an UPDATE need it.
//!
//! The rules are those of the databases' own scanners: PostgreSQL's `scan.l`
//! (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html>) and SQLite's `tokenize.c`
//! (<https://sqlite.org/lang_expr.html>). A text that they would refuse gives some tokens too.

/// The database whose rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `has_backslashes` says that a backslash escapes in a plain `'…'`, as under the setting
    /// `standard_conforming_strings = off`.
    Postgres {
        has_backslashes: bool,
    },
    Sqlite,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes.
    QuotedName,
    /// A literal of any other kind.
    Literal,
    /// `$1`
    Parameter(usize),
    /// One character of anything else.
    Symbol,
}

/// A token, where it stands in the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SqlToken<'s> {
    pub(super) kind: TokenKind,
    pub(super) text: &'s str,
    /// The byte that it begins at.
    pub(super) start: usize,
}

impl SqlToken<'_> {
    /// Whether it is this keyword. A quoted name is no keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether it is this character.
    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }

    /// The name that it spells, as Postgres folds it; `None` if it is no name.
    pub(super) fn name(&self) -> Option<String> {
        match self.kind {
            TokenKind::Word => Some(self.text.to_ascii_lowercase()),
            TokenKind::QuotedName => {
                let quote = self.text.chars().next()?;
                let end = if quote == '[' { ']' } else { quote };
                let inside = self.text.strip_prefix(quote)?.strip_suffix(end)?;
                let twice = format!("{end}{end}");
                Some(if quote == '[' {
                    inside.to_owned()
                } else {
                    inside.replace(&twice, end.encode_utf8(&mut [0; 4]))
                })
            }
            TokenKind::Literal | TokenKind::Parameter(_) | TokenKind::Symbol => None,
        }
    }
}

/// The tokens of a statement; blanks and comments are left out.
pub(super) fn tokens(sql: &str, dialect: Dialect) -> Vec<SqlToken<'_>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = sql[start..].chars().next() {
        let rest = &sql[start..];
        let (kind, length) = token(rest, first, dialect);
        let length = length.clamp(first.len_utf8(), rest.len());
        if let Some(kind) = kind {
            tokens.push(SqlToken { kind, text: &rest[..length], start });
        }
        start += length;
    }
    tokens
}

/// What the text begins with, and its length in bytes; `None` for a blank or a comment.
fn token(text: &str, first: char, dialect: Dialect) -> (Option<TokenKind>, usize) {
    let is_postgres = dialect != Dialect::Sqlite;
    let until = |end: &str, from: usize| {
        text.get(from..)
            .and_then(|rest| rest.find(end))
            .map_or(text.len(), |at| from + at + end.len())
    };
    match first {
        // Both databases take other blanks for parts of names.
        c if c.is_ascii_whitespace() || c == '\u{b}' => (None, 1),
        '-' if text.starts_with("--") => (None, line(text)),
        '/' if text.starts_with("/*") && is_postgres => (None, nested_comment(text)),
        '/' if text.starts_with("/*") => (None, until("*/", 2)),
        '\'' => {
            let escapes = dialect == Dialect::Postgres { has_backslashes: true };
            (Some(TokenKind::Literal), string(text, 0, escapes, is_postgres))
        }
        'e' | 'E' if is_postgres && text[1..].starts_with('\'') => {
            (Some(TokenKind::Literal), string(text, 1, true, true))
        }
        '"' => (Some(TokenKind::QuotedName), quoted(text, '"')),
        '`' if !is_postgres => (Some(TokenKind::QuotedName), quoted(text, '`')),
        '[' if !is_postgres => (Some(TokenKind::QuotedName), until("]", 1)),
        '$' => dollar(text, is_postgres),
        c if c.is_ascii_digit() => {
            let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            (Some(TokenKind::Literal), text.find(|c| !is_inside(c)).unwrap_or(text.len()))
        }
        c if begins_name(c) => {
            (Some(TokenKind::Word), text.find(|c| !continues_name(c)).unwrap_or(text.len()))
        }
        c => (Some(TokenKind::Symbol), c.len_utf8()),
    }
}

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_name(c: char) -> bool {
    begins_name(c) || c.is_ascii_digit() || c == '$'
}

/// A parameter, or a literal between dollars (`$$…$$`, `$tag$…$tag$`).
fn dollar(text: &str, is_postgres: bool) -> (Option<TokenKind>, usize) {
    let digits = text[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - 1);
    if let Ok(number) = text[1..=digits].parse() {
        return (Some(TokenKind::Parameter(number)), 1 + digits);
    }
    let is_in_tag = |c: char| c != '$' && continues_name(c);
    let end = text[1..].find(|c| !is_in_tag(c)).map_or(text.len(), |at| at + 1);
    if !is_postgres || !text[end..].starts_with('$') {
        return (Some(TokenKind::Symbol), 1);
    }
    let tag = &text[..=end];
    let body = tag.len();
    let length = text[body..].find(tag).map_or(text.len(), |at| body + at + tag.len());
    (Some(TokenKind::Literal), length)
}

/// The end of a literal in single quotes, the first of which is at `open`. In Postgres a literal in
/// a later line continues it, under the same rules.
fn string(text: &str, open: usize, escapes: bool, may_continue: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => match continuation(&text[at + 1..]).filter(|_| may_continue) {
                Some(blank) => at += 1 + blank + 1,
                None => return at + 1,
            },
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of blanks and comments, with at least one line's end, before another quote.
fn continuation(text: &str) -> Option<usize> {
    let (mut at, mut has_newline) = (0, false);
    loop {
        let rest = &text[at..];
        match rest.chars().next()? {
            '\'' if has_newline => return Some(at),
            '-' if rest.starts_with("--") => at += line(rest),
            c if c.is_ascii_whitespace() => {
                has_newline |= matches!(c, '\n' | '\r');
                at += 1;
            }
            _ => return None,
        }
    }
}

/// The length up to the end of the line, which is not part of it.
fn line(text: &str) -> usize {
    text.find(['\n', '\r']).unwrap_or(text.len())
}

fn nested_comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if rest.starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of a name in quotes; a doubled quote is part of the name.
fn quoted(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(found) = text[at..].find(quote) {
        at += found + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSTGRES: Dialect = Dialect::Postgres { has_backslashes: false };
    const OLD_POSTGRES: Dialect = Dialect::Postgres { has_backslashes: true };

    #[test]
    fn parameters_are_found_where_the_server_finds_them() {
        let statements = [
            ("SELECT $1, a$2, $12", vec![1, 12]),
            ("SELECT '$1 it''s $2', $3", vec![3]),
            (r"SELECT '\', $1, '", vec![1]),
            (r"SELECT E'\', $1, ', e'\\', $2", vec![2]),
            ("SELECT E'a'\n  '\\', $1 ', $2", vec![2]),
            ("SELECT 'a' -- and\n'$1', $2", vec![2]),
            ("SELECT 'a' '$1'", vec![]),
            ("SELECT \"$1\"\"$2\", $3", vec![3]),
            ("SELECT $$ $1 ' $$, $2, $a$ $$ $3 $a$, $4", vec![2, 4]),
            ("SELECT $é1$ $1 $é1$, $2", vec![2]),
            ("SELECT 1 -- $1\n, $2 /* $3 /* $4 */ $5 */, $6", vec![2, 6]),
            ("SELECT 1 -- $1\r, $2", vec![2]),
            ("SELECT 5$1, x.$2, $3::text, -$4, @-$5", vec![1, 2, 3, 4, 5]),
            ("SELECT U&'d\\0061t$1', B'$2', $3", vec![3]),
            ("SELECT $$ $1", vec![]),
            ("SELECT '$1", vec![]),
            ("SELECT /* $1", vec![]),
            ("SELECT é$1, $2", vec![2]),
            ("$", vec![]),
            ("$99999999999999999999", vec![]),
        ];
        for (sql, expected) in statements {
            assert_eq!(parameters(sql, POSTGRES), expected, "{sql}");
        }
        assert_eq!(parameters(r"SELECT '\', $1, '", OLD_POSTGRES), Vec::<usize>::new());
    }

    #[test]
    fn sqlites_quotes_and_comments_are_its_own() {
        let sql = "SELECT [$1], `$2`, '\\', $3 /* $4 /* */, $5 -- $6\n, e'$7', x'00', $8";
        assert_eq!(parameters(sql, Dialect::Sqlite), [3, 5, 8]);
    }

    #[test]
    fn a_name_is_folded_unless_it_is_quoted() {
        let names = |sql, dialect| -> Vec<String> {
            tokens(sql, dialect).iter().filter_map(SqlToken::name).collect()
        };
        assert_eq!(names(r#"Users "It""s""#, POSTGRES), ["users", "It\"s"]);
        assert_eq!(names("[a b] `c``d`", Dialect::Sqlite), ["a b", "c`d"]);
        assert!(names("'text' 5 $1 +", POSTGRES).is_empty());
    }

    #[test]
    fn tokens_and_what_is_between_them_are_the_statement() {
        for sql in
            ["SELECT é, 'ü\n' FROM \"ö\" /* ä", "'", "\"", "$", "[", "E'\\", "$a", "/*", "--"]
        {
            for dialect in [POSTGRES, OLD_POSTGRES, Dialect::Sqlite] {
                for token in tokens(sql, dialect) {
                    assert_eq!(
                        sql.get(token.start..token.start + token.text.len()),
                        Some(token.text)
                    );
                }
            }
        }
    }

    fn parameters(sql: &str, dialect: Dialect) -> Vec<usize> {
        let number = |token: SqlToken<'_>| match token.kind {
            TokenKind::Parameter(number) => Some(number),
            TokenKind::Word | TokenKind::QuotedName | TokenKind::Literal | TokenKind::Symbol => {
                None
            }
        };
        tokens(sql, dialect).into_iter().filter_map(number).collect()
    }
}
