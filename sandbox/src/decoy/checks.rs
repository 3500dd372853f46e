//! Check digits of cards, bank accounts and national identity numbers: software that collects
//! such numbers often keeps only those that add up.

/// The Luhn digit that makes `digits` followed by it valid (ISO/IEC 7812-1, annex B).
pub(super) fn luhn(digits: &str) -> char {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit.saturating_sub(b'0'));
            match digit * (2 - at as u32 % 2) {
                double @ 10.. => double - 9,
                same => same,
            }
        })
        .sum();
    digit((10 - sum % 10) % 10)
}

/// The two check digits of an IBAN (ISO 13616, ISO 7064 MOD 97-10) of a country's two letters
/// and its basic account number of upper-case letters and digits.
pub(super) fn iban(country: &str, account: &str) -> String {
    let remainder = account.bytes().chain(country.bytes()).chain(*b"00").fold(0, |rest: u32, byte| match byte {
        b'A'..=b'Z' => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
        _ => (rest * 10 + u32::from(byte.saturating_sub(b'0'))) % 97,
    });
    format!("{:02}", 98 - remainder)
}

/// The last digit of a German identity card's number: weights 7, 3, 1 over the nine characters
/// (ICAO Doc 9303-3, 4.9).
pub(super) fn icao(characters: &str) -> char {
    let sum: u32 = characters
        .bytes()
        .zip([7, 3, 1].into_iter().cycle())
        .map(|(byte, weight)| char::from(byte).to_digit(36).unwrap_or(0) * weight)
        .sum();
    digit(sum % 10)
}

/// The letter after the eight digits of a Spanish DNI: the number modulo 23.
pub(super) fn dni(digits: &str) -> char {
    let rest = digits.parse::<usize>().unwrap_or(0) % 23;
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(rest).copied().map_or('T', char::from)
}

/// The two digits after the thirteen of a French NIR: 97 minus the number modulo 97.
pub(super) fn nir(digits: &str) -> String {
    format!("{:02}", 97 - digits.parse::<u64>().unwrap_or(0) % 97)
}

fn digit(value: u32) -> char {
    char::from_digit(value, 10).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Luhn's test as ISO/IEC 7812-1 puts it, on the whole number.
    fn luhn_holds(number: &str) -> bool {
        let digits: Vec<u32> = number.chars().rev().filter_map(|c| c.to_digit(10)).collect();
        let sum: u32 = digits
            .chunks(2)
            .map(|pair| pair[0] + pair.get(1).map_or(0, |double| double * 2 / 10 + double * 2 % 10))
            .sum();
        sum.is_multiple_of(10)
    }

    #[test]
    fn published_examples() {
        assert_eq!(luhn("7992739871"), '3');
        assert_eq!(luhn("411111111111111"), '1');
        assert_eq!(iban("GB", "WEST12345698765432"), "82");
        assert_eq!(iban("DE", "370400440532013000"), "89");
        assert_eq!(iban("FR", "20041010050500013M02606"), "14");
        assert_eq!(icao("L01X00T47"), '1');
        assert_eq!(dni("12345678"), 'Z');
        assert_eq!(nir("2690549588157"), "80");
        assert!(!luhn_holds("79927398710"), "the test can fail");
    }

    proptest! {
        #[test]
        fn luhn_digits_hold(digits in "[0-9]{1,30}") {
            let whole = format!("{}{}", digits, luhn(&digits));
            prop_assert!(luhn_holds(&whole));
        }

        #[test]
        fn iban_digits_hold(account in "[0-9]{18}") {
            let whole = format!("DE{}{account}", iban("DE", &account));
            prop_assert!(whole.parse::<iban::Iban>().is_ok(), "{whole}");
        }
    }
}
