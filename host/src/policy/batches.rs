//! Rows in batches: one call gives a policy so few rows that no number of rows makes a call long.
//! The number of rows is a client's doing, so what they cost is not held against the policy.

/// Most rows of one call. An interpreter needs a tenth of a millisecond for each.
const ROWS: usize = 64;

/// Most bytes of one call.
const BYTES: usize = 256 << 10;

/// The largest row that a policy is asked about, in bytes. It fits several times into the memory of
/// any instance.
pub const ROW_LIMIT: usize = 1 << 20;

/// Parts of `rows`, in their order, of at most `ROWS` rows and `BYTES` bytes or of one row.
pub fn batches<R>(rows: &[R], size: impl Fn(&R) -> usize) -> impl Iterator<Item = &[R]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |row: &&R| {
            bytes += size(row);
            bytes <= BYTES
        };
        let count = rest.iter().take(ROWS).take_while(fits).count().max(1).min(rest.len());
        let (batch, others) = rest.split_at(count);
        rest = others;
        (!batch.is_empty()).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_batch_and_no_batch_is_too_large() {
        let rows: Vec<usize> =
            (0..1_000).map(|row| if row % 100 == 7 { BYTES * 2 } else { 5_000 }).collect();
        let parts: Vec<&[usize]> = batches(&rows, |row| *row).collect();
        assert_eq!(parts.concat(), rows);
        for part in parts {
            assert!(part.len() <= ROWS && (part.len() == 1 || part.iter().sum::<usize>() <= BYTES));
        }
        assert_eq!(batches(&[], |row: &usize| *row).count(), 0);
    }
}
