//! Numbers as people write them: `4k`, `0x1f`, `02:30`, `2.5s`. Printed so that reading gives the
//! same number with the same precision.

use std::fmt;

use super::ast::Number;
use super::field::Type;

const SECOND: i128 = 1_000_000_000;

/// Reads a number for a field of this kind; `None` when it is none.
pub(super) fn read(text: &str, kind: Type) -> Option<Number> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let number = match kind {
        Type::Time | Type::Duration => time(digits)?,
        Type::Number | Type::Size | Type::Result => Number { value: integer(digits)?, step: 1 },
        Type::Text | Type::Bytes | Type::Choice(_) => return None,
    };
    Some(Number { value: sign * number.value, ..number })
}

/// Digits only, so that no number passes the 64 bits a field has (and no sign hides within).
fn plain(text: &str) -> Option<i128> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse::<u64>().ok().map(i128::from)).flatten()
}

fn integer(text: &str) -> Option<i128> {
    if let Some(hex) = text.strip_prefix("0x") {
        let digits = hex.bytes().all(|b| b.is_ascii_hexdigit());
        return digits.then(|| u64::from_str_radix(hex, 16).ok().map(i128::from)).flatten();
    }
    // Permission bits are written so.
    if let Some(octal) = text.strip_prefix("0o") {
        let digits = octal.bytes().all(|b| matches!(b, b'0'..=b'7'));
        return digits.then(|| u64::from_str_radix(octal, 8).ok().map(i128::from)).flatten();
    }
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, shift) = match lower.as_bytes().last()? {
        b'k' => (lower.strip_suffix('k')?, 10),
        b'm' => (lower.strip_suffix('m')?, 20),
        b'g' => (lower.strip_suffix('g')?, 30),
        b't' => (lower.strip_suffix('t')?, 40),
        _ => (lower, 0),
    };
    Some(plain(digits)? << shift)
}

/// `h:mm:ss.fff`, `m:ss`, or a number with `h`, `m`, `s`, `ms`, `us`, `ns` (seconds without).
fn time(text: &str) -> Option<Number> {
    if let Some((minutes, seconds)) = text.rsplit_once(':') {
        let minutes = match minutes.split_once(':') {
            Some((hours, minutes)) => plain(hours)? * 60 + plain(minutes)?,
            None => plain(minutes)?,
        };
        let seconds = decimal(seconds, SECOND)?;
        return Some(Number { value: minutes * 60 * SECOND + seconds.value, ..seconds });
    }
    let units = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", SECOND), ("m", 60 * SECOND), ("h", 3600 * SECOND)];
    units
        .into_iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|digits| decimal(digits, unit)))
        .unwrap_or_else(|| decimal(text, SECOND))
}

/// A decimal number of `unit`s, with up to nine digits behind the point.
fn decimal(text: &str, unit: i128) -> Option<Number> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = plain(whole)?;
    if fraction.is_empty() {
        // `5m` and `1h` are as precise as people mean them: to the second.
        return (!text.ends_with('.')).then_some(Number { value: whole * unit, step: unit.min(SECOND) });
    }
    let parts = 10_i128.pow(u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 9)?);
    Some(Number { value: whole * unit + plain(fraction)? * unit / parts, step: (unit.min(SECOND) / parts).max(1) })
}

/// Writes what [`read`] reads.
pub(super) fn write(number: Number, kind: Type, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Number { value, step } = number;
    match kind {
        Type::Time | Type::Duration => {
            let digits = (1..10).find(|digits| step >= SECOND / 10_i128.pow(*digits)).unwrap_or(9) as usize;
            let digits = if step >= SECOND { 0 } else { digits };
            let (sign, value) = (if value < 0 { "-" } else { "" }, value.abs());
            let fraction = format!("{:09}", value % SECOND);
            let fraction = fraction.get(..digits).unwrap_or(&fraction);
            let point = if digits == 0 { "" } else { "." };
            write!(f, "{sign}{}{point}{fraction}s", value / SECOND)
        }
        _ => write!(f, "{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let size = |text| read(text, Type::Size).map(|n| n.value);
        assert_eq!(size("4k"), Some(4096));
        assert_eq!(size("2M"), Some(2 << 20));
        assert_eq!(size("1GiB"), Some(1 << 30));
        assert_eq!(size("0x10"), Some(16));
        assert_eq!(size("0o4755"), Some(2541));
        assert_eq!(size("-5"), Some(-5));
        assert_eq!(size("18446744073709551615"), Some(i128::from(u64::MAX)));
        for bad in ["", "k", "4q", "0o8", "+4", "--4", "0x", "1e3", "18446744073709551616", "四"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        let time = |text| read(text, Type::Time).map(|n| (n.value, n.step));
        assert_eq!(time("02:30"), Some((150 * SECOND, SECOND)));
        assert_eq!(time("1:02:30.25"), Some((3_750_250_000_000, SECOND / 100)));
        assert_eq!(time("300ms"), Some((300_000_000, 1_000_000)));
        assert_eq!(time("2.5s"), Some((2_500_000_000, SECOND / 10)));
        assert_eq!(time("90"), Some((90 * SECOND, SECOND)));
        assert_eq!(time("5m"), Some((300 * SECOND, SECOND)));
        for bad in ["", ":", "1:", ":1", "1:2:3:4", "1.", "1.1234567890", "s", "1:2s"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
