//! Entity tags as `ETag` carries them.

use hyper::header::HeaderValue;

/// Every byte as two hexadecimal digits.
const DIGITS: [[u8; 2]; 256] = {
    let (mut digits, mut byte) = ([[0; 2]; 256], 0);
    while byte < 256 {
        let hexadecimal = b"0123456789abcdef";
        digits[byte] = [hexadecimal[byte >> 4], hexadecimal[byte & 15]];
        byte += 1;
    }
    digits
};

/// An entity tag (RFC 9110, 8.8.3): 32 hexadecimal digits in quotes.
pub(super) fn etag(etag: u128) -> HeaderValue {
    let mut quoted = [b'"'; 34];
    for (pair, byte) in quoted[1..33].chunks_exact_mut(2).zip(etag.to_be_bytes()) {
        pair.copy_from_slice(&DIGITS[usize::from(byte)]);
    }
    HeaderValue::from_bytes(&quoted).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_is_32_digits_in_quotes() {
        assert_eq!(etag(42), "\"0000000000000000000000000000002a\"");
        assert_eq!(etag(u128::MAX), "\"ffffffffffffffffffffffffffffffff\"");
    }
}
