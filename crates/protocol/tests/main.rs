//! The protocol's frames, byte for byte: the worked ones of its description and the recorded ones of
//! real servers and clients.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod recorded;
mod worked;

/// Bytes from hexadecimal digits, blanks ignored.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}
