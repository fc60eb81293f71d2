//! Whether the values or the statement are at fault when a database rejects a statement.

/// What was wrong when a database rejected a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The values break a constraint, or what a view checks.
    Constraint,
    /// The statement can't work with the values, or a procedure rejected them with an error of its
    /// own.
    Values,
    /// The statement, what it refers to, or the rights of the role: no caller can change these.
    Statement,
}

/// Classes of SQLSTATE for constraints: integrity, and views that check.
const OF_CONSTRAINTS: [&str; 2] = ["23", "44"];

/// Classes for values: data, cardinality, limits of the program, what a procedure raises.
const OF_VALUES: [&str; 4] = ["22", "21", "54", "P0"];

/// All other classes that Postgres has. A code of a class in none of the three lists is a
/// procedure's own.
const OTHERS: [&str; 37] = [
    "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "20", "24", "25", "26",
    "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "53", "55", "57",
    "58", "72", "F0", "HV", "XX",
];

/// SQLite's primary result codes (<https://sqlite.org/rescode.html>).
const TOO_BIG: u32 = 18;
const CONSTRAINT: u32 = 19;
const MISMATCH: u32 = 20;

impl Fault {
    /// `code` is a SQLSTATE, which has five characters, or a result code of SQLite, which has
    /// fewer.
    #[must_use]
    pub fn of(code: &str) -> Self {
        let Some(class) = code.get(..2).filter(|_| code.len() == 5) else {
            // The low byte of an extended code is its primary code.
            return match code.parse::<u32>().map(|code| code & 0xff) {
                Ok(CONSTRAINT) => Self::Constraint,
                Ok(TOO_BIG | MISMATCH) => Self::Values,
                Ok(_) | Err(_) => Self::Statement,
            };
        };
        if OF_CONSTRAINTS.contains(&class) {
            Self::Constraint
        } else if OF_VALUES.contains(&class) || !OTHERS.contains(&class) {
            Self::Values
        } else {
            Self::Statement
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_somebody_whose_fault_it_is() {
        for (code, fault) in [
            ("23505", Fault::Constraint),
            ("44000", Fault::Constraint),
            ("2067", Fault::Constraint),
            ("22012", Fault::Values),
            ("P0001", Fault::Values),
            ("MYAPP", Fault::Values),
            ("42P01", Fault::Statement),
            ("42501", Fault::Statement),
            ("25006", Fault::Statement),
            ("XX000", Fault::Statement),
            ("1", Fault::Statement),
            ("8", Fault::Statement),
        ] {
            assert_eq!(Fault::of(code), fault, "{code}");
        }
    }
}
