//! Numbers as people read them.

use std::time::Duration;

use fanfold_flow::size::ByteCount;

/// A count with a comma for every three digits.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun.
pub(crate) fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

/// A number of bytes.
pub(crate) fn bytes(number: u64) -> String {
    ByteCount(number).to_string()
}

/// A time: `0.4 s`, `12.0 s`, `3 min 05 s`, `2 h 03 min`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=59 => format!("{:.1} s", time.as_secs_f64()),
        60..=3_599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Bytes a second.
pub(crate) fn rate(number: u64, time: Duration) -> String {
    // Below a millisecond a rate would be noise.
    let seconds = time.as_secs_f64().max(0.001);
    format!("{}/s", bytes((number as f64 / seconds) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(counted(1, "chunk", "chunks"), "1 chunk");
        assert_eq!(counted(0, "chunk", "chunks"), "0 chunks");
        let times = [400, 59_900, 185_000, 7_380_000].map(|ms| time(Duration::from_millis(ms)));
        assert_eq!(times, ["0.4 s", "59.9 s", "3 min 05 s", "2 h 03 min"]);
        assert_eq!(rate(1 << 20, Duration::from_millis(500)), "2 MiB/s");
    }
}
