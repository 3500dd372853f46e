//! People who do not exist: names, addresses, numbers, in the forms of four countries. Each part
//! is drawn, and noted as a marker, only by an asset that plants it.

use fake::locales::{Data, EN};

use super::checks;
use super::draw::{DIGITS, Draw, SERIAL, Stream, UPPER_LETTERS, date};
use super::words;

/// Countries whose numbers are made, with the letters of an IBAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Country {
    Germany,
    Spain,
    France,
    Britain,
}

/// One person, as far as was asked for.
pub(super) struct Person {
    /// Where it stands in its asset: `[3]`.
    at: String,
    country: Country,
    first: &'static str,
    last: &'static str,
}

impl Person {
    /// Draws a person of the asset's entry `at`, such as `[3]`, and marks the full name.
    pub(super) fn new(draw: &mut Draw<'_>, at: String) -> Self {
        let country = [Country::Germany, Country::Spain, Country::France, Country::Britain]
            .get(draw.stream.below(4) as usize)
            .copied()
            .unwrap_or(Country::Britain);
        let (mut first, mut last) = ("", "");
        draw.mark(&format!("{at}.name"), |stream| {
            first = name(stream, EN::NAME_FIRST_NAME);
            last = name(stream, EN::NAME_LAST_NAME);
            // Two very short names would be no marker: "Al Von".
            if first.len() + last.len() < 9 { String::new() } else { format!("{first} {last}") }
        });
        Self { at, country, first, last }
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.first, self.last)
    }

    pub(super) fn first(&self) -> &str {
        self.first
    }

    pub(super) fn last(&self) -> &str {
        self.last
    }

    pub(super) fn email(&self, draw: &mut Draw<'_>) -> String {
        let (first, last) = (self.first.to_lowercase(), self.last.to_lowercase());
        draw.mark(&format!("{}.email", self.at), |stream| {
            let domain = domain(stream);
            match stream.below(3) {
                0 => format!("{first}.{last}@{domain}"),
                1 => format!("{}.{last}{}@{domain}", first.get(..1).unwrap_or(&first), stream.text(2, DIGITS)),
                _ => format!("{last}.{first}@{domain}"),
            }
        })
    }

    /// A telephone number in international form with spaces (ITU-T E.123).
    pub(super) fn phone(&self, draw: &mut Draw<'_>) -> String {
        draw.mark(&format!("{}.phone", self.at), |stream| match self.country {
            Country::Germany => format!("+49 {} {}", stream.word(&["151", "160", "171"]), stream.text(8, DIGITS)),
            Country::Spain => format!("+34 6{} {} {}", two(stream), stream.text(3, DIGITS), stream.text(3, DIGITS)),
            Country::France => {
                format!("+33 6 {} {} {} {}", two(stream), two(stream), two(stream), two(stream))
            }
            Country::Britain => format!("+44 7{} {}", stream.text(3, DIGITS), stream.text(6, DIGITS)),
        })
    }

    /// A national identity number with the country's check digit.
    pub(super) fn national_id(&self, draw: &mut Draw<'_>) -> String {
        draw.mark(&format!("{}.national_id", self.at), |stream| match self.country {
            Country::Germany => {
                let number = format!("L{}", stream.text(8, SERIAL));
                format!("{number}{}", checks::icao(&number))
            }
            Country::Spain => {
                let number = stream.text(8, DIGITS);
                format!("{number}{}", checks::dni(&number))
            }
            Country::France => {
                let number = format!(
                    "{}{:02}{:02}{:02}{}",
                    stream.between(1, 3),
                    stream.between(44, 100),
                    stream.between(1, 13),
                    stream.between(1, 96),
                    stream.text(6, DIGITS)
                );
                format!("{number}{}", checks::nir(&number))
            }
            Country::Britain => format!(
                "{}{}{}",
                stream.word(&["AB", "CE", "HJ", "JK", "LM", "PR", "SX", "WA"]),
                stream.text(6, DIGITS),
                stream.text(1, "ABCD")
            ),
        })
    }

    /// An IBAN without spaces, of the country's real length and form (SWIFT IBAN registry).
    pub(super) fn iban(&self, draw: &mut Draw<'_>) -> String {
        draw.mark(&format!("{}.iban", self.at), |stream| {
            let (country, account) = match self.country {
                Country::Germany => ("DE", stream.text(18, DIGITS)),
                Country::Spain => ("ES", stream.text(20, DIGITS)),
                Country::France => ("FR", stream.text(23, DIGITS)),
                Country::Britain => ("GB", stream.text(4, UPPER_LETTERS) + &stream.text(14, DIGITS)),
            };
            format!("{country}{}{account}", checks::iban(country, &account))
        })
    }

    /// A payment card's number: 16 digits.
    pub(super) fn card(&self, draw: &mut Draw<'_>) -> String {
        draw.mark(&format!("{}.card", self.at), |stream| {
            let issuer = stream.word(&["4", "51", "52", "53", "54", "55"]);
            let number = format!("{issuer}{}", stream.text(15 - issuer.len(), DIGITS));
            format!("{number}{}", checks::luhn(&number))
        })
    }
}

/// A date of birth, from 1944 to 2003. No marker: too many people share one.
pub(super) fn born(stream: &mut Stream) -> String {
    date(stream.amount(-820_540_800, 1_072_915_200))
}

/// A name of ASCII letters only: the same bytes in every encoding, no quoting anywhere.
fn name(stream: &mut Stream, names: &[&'static str]) -> &'static str {
    loop {
        let name = stream.word(names);
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return name;
        }
    }
}

/// A surname nobody else needs to share: for firms.
pub(super) fn surname(stream: &mut Stream) -> &'static str {
    name(stream, EN::NAME_LAST_NAME)
}

/// A firm's domain.
pub(super) fn domain(stream: &mut Stream) -> String {
    let owner = surname(stream).to_lowercase();
    format!("{owner}-{}.{}", stream.word(words::TRADES), stream.word(&["com", "net", "eu", "org"]))
}

fn two(stream: &mut Stream) -> String {
    stream.text(2, DIGITS)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use iban::IbanLike as _;

    use super::*;

    #[test]
    fn ibans_of_every_country_are_valid() {
        let mut taken = HashSet::new();
        let mut draw = Draw::new(3, "people", &mut taken);
        let mut countries = HashSet::new();
        for at in 0..300 {
            let person = Person::new(&mut draw, format!("[{at}]"));
            let text = person.iban(&mut draw);
            let iban = text.parse::<iban::Iban>().unwrap_or_else(|error| panic!("{text}: {error}"));
            countries.insert(iban.country_code().to_owned());
            let card = person.card(&mut draw);
            assert_eq!(card.len(), 16);
            assert!(card.ends_with(checks::luhn(&card[..15])), "{card}");
            assert!(person.national_id(&mut draw).len() >= 9);
        }
        assert_eq!(countries.len(), 4);
    }
}
