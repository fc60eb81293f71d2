//! A server's answers, in the Redis serialization protocol (RESP), version 2.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};

/// The longest string that a server holds: the default of `proto-max-bulk-len`.
const LONGEST_VALUE: usize = 512 << 20;

/// The longest line. Errors and lengths are lines; a longer one does not belong to this protocol.
const LONGEST_LINE: usize = 64 << 10;

/// Room that is made at once for a value of which little has arrived.
const ROOM: usize = 1 << 20;

/// The deepest nesting of answers; the scripts have two levels.
const DEEPEST: usize = 8;

const END: &[u8] = b"\r\n";

/// One whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A string.
    Value(Bytes),
    /// There is no such value.
    Nothing,
    /// A word: `OK`, `PONG`.
    Word(String),
    /// A whole number.
    Number(i64),
    /// Answers in a row.
    List(Vec<Reply>),
    /// An error, code first.
    Error(String),
}

/// Takes the first answer out of what has arrived. `None` if it is not complete yet; then there is
/// room for the rest of it.
///
/// # Errors
/// If what has arrived is no answer of this protocol: what follows can't be understood either.
pub(super) fn take_reply(arrived: &mut BytesMut) -> io::Result<Option<Reply>> {
    match parse(arrived, 0)? {
        Parsed::Whole(reply, length) => {
            arrived.advance(length);
            Ok(Some(reply))
        }
        Parsed::Cut(missing) => {
            // What is announced may never come, so room is made for no more than has come.
            arrived.reserve(missing.min(arrived.len().max(ROOM)));
            Ok(None)
        }
    }
}

/// Whether what has arrived consists of whole answers.
#[cfg(feature = "http")]
pub(crate) fn understands(mut arrived: BytesMut) -> bool {
    loop {
        match take_reply(&mut arrived) {
            Ok(Some(_reply)) => {}
            Ok(None) => return arrived.is_empty(),
            Err(_garbage) => return false,
        }
    }
}

enum Parsed {
    /// The answer, and how many bytes it has.
    Whole(Reply, usize),
    /// The answer is not complete; at least so many bytes are missing.
    Cut(usize),
}

#[inline]
fn parse(bytes: &[u8], depth: usize) -> io::Result<Parsed> {
    let Some(line) = bytes.windows(END.len()).position(|two| two == END) else {
        return if bytes.len() > LONGEST_LINE { Err(garbage(bytes)) } else { Ok(Parsed::Cut(1)) };
    };
    let body = line + END.len();
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let reply = match &bytes[..line] {
        b"$-1" | b"*-1" => Reply::Nothing,
        [b'$', length @ ..] => {
            let length = number(length).ok_or_else(|| garbage(bytes))?;
            let whole = body + length + END.len();
            if bytes.len() < whole {
                return Ok(Parsed::Cut(whole - bytes.len()));
            }
            // A copy, since a slice would keep everything that arrived with it in memory.
            let value = Bytes::copy_from_slice(&bytes[body..body + length]);
            return Ok(Parsed::Whole(Reply::Value(value), whole));
        }
        [b'*', count @ ..] if depth < DEEPEST => {
            let count = number(count).ok_or_else(|| garbage(bytes))?;
            return list(bytes, body, count, depth);
        }
        [b':', digits @ ..] => {
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            Reply::Number(number.ok_or_else(|| garbage(bytes))?)
        }
        [b'+', word @ ..] => Reply::Word(text(word)),
        [b'-', error @ ..] => Reply::Error(text(error)),
        _ => return Err(garbage(bytes)),
    };
    Ok(Parsed::Whole(reply, body))
}

#[inline(never)]
fn list(bytes: &[u8], body: usize, count: usize, depth: usize) -> io::Result<Parsed> {
    let (mut at, mut replies) = (body, Vec::new());
    for _ in 0..count {
        match parse(&bytes[at..], depth + 1)? {
            Parsed::Whole(reply, length) => {
                replies.push(reply);
                at += length;
            }
            Parsed::Cut(missing) => return Ok(Parsed::Cut(missing)),
        }
    }
    Ok(Parsed::Whole(Reply::List(replies), at))
}

/// A length: digits only, and no more than the longest value has.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > LONGEST_VALUE.ilog10() as usize + 1 {
        return None;
    }
    let append = |number, digit: &u8| {
        digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0'))
    };
    digits.iter().try_fold(0, append).filter(|number| *number <= LONGEST_VALUE)
}

fn garbage(arrived: &[u8]) -> io::Error {
    let start = &arrived[..arrived.len().min(40)];
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the server does not answer as Redis does: {}", start.escape_ascii()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(arrived: &[u8]) -> (Vec<Reply>, usize) {
        let mut buffer = BytesMut::from(arrived);
        let replies = std::iter::from_fn(|| take_reply(&mut buffer).unwrap()).collect();
        (replies, buffer.len())
    }

    #[test]
    fn answers_are_taken_one_after_the_other() {
        let (replies, left) =
            all(b"+OK\r\n$3\r\na\r\n\r\n$-1\r\n-WRONGTYPE it is a list\r\n$0\r\n\r\n$5\r\n");
        let value = |text: &'static [u8]| Reply::Value(Bytes::from_static(text));
        let error = Reply::Error("WRONGTYPE it is a list".to_owned());
        let expected =
            [Reply::Word("OK".to_owned()), value(b"a\r\n"), Reply::Nothing, error, value(b"")];
        assert_eq!(replies, expected);
        assert_eq!(left, b"$5\r\n".len());
    }

    #[test]
    fn lists_hold_answers_of_every_kind() {
        let (replies, left) = all(b"*2\r\n:-7\r\n*2\r\n$1\r\na\r\n$-1\r\n*2\r\n:1\r\n");
        let value = Reply::Value(Bytes::from_static(b"a"));
        let inner = Reply::List(vec![value, Reply::Nothing]);
        assert_eq!(replies, [Reply::List(vec![Reply::Number(-7), inner])]);
        assert_eq!(left, b"*2\r\n:1\r\n".len());
    }

    #[test]
    fn whatever_the_pieces_it_arrives_in_the_answer_is_the_same() {
        let whole = b"$12\r\nhello\r\nworld\r\n-ERR no\r\n$-1\r\n*2\r\n:1\r\n$1\r\na\r\n";
        let expected = all(whole).0;
        assert_eq!(expected.len(), 4);
        for cut in 1..whole.len() {
            let mut buffer = BytesMut::from(&whole[..cut]);
            let mut replies: Vec<_> =
                std::iter::from_fn(|| take_reply(&mut buffer).unwrap()).collect();
            buffer.extend_from_slice(&whole[cut..]);
            replies.extend(std::iter::from_fn(|| take_reply(&mut buffer).unwrap()));
            assert_eq!(replies, expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_answer_is_said_and_not_waited_for() {
        let endless = [b'+'; LONGEST_LINE + 1];
        let wrong: [&[u8]; 8] = [
            b"HTTP/1.1 400 Bad Request\r\n",
            b"$-2\r\n",
            b"$+1\r\na\r\n",
            b"$536870913\r\n",
            b"$99999999999999999999999\r\n",
            b"*x\r\n$1\r\na\r\n",
            b"\r\n",
            &endless,
        ];
        for wrong in wrong {
            let error = take_reply(&mut BytesMut::from(wrong)).unwrap_err();
            assert!(error.to_string().contains("does not answer as Redis does"), "{error}");
        }
    }
}
