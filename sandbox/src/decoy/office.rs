//! Papers of an office: tables of persons, contracts, address cards.

use std::fmt::Write as _;

use rusqlite::params;

use super::database::Database;
use super::draw::{NEWEST, SERIAL, date};
use super::generate::GenerateError;
use super::kind::host;
use super::making::Making;
use super::person::{Person, born, surname};
use super::words;

/// `id,name,email,phone,birth_date,national_id,iban,card`
pub(super) fn customers_csv(making: &mut Making<'_, '_>) {
    let mut text = String::from("id,name,email,phone,birth_date,national_id,iban,card\n");
    for row in persons(making) {
        text.push_str(&row.join(","));
        text.push('\n');
    }
    making.file(text.into_bytes(), 0o644);
}

/// The same as `INSERT` statements.
pub(super) fn sql_dump(making: &mut Making<'_, '_>) {
    let mut text = String::from(
        "-- PostgreSQL database dump\nSET client_encoding = 'UTF8';\n\
         CREATE TABLE public.customers (\n    id integer NOT NULL,\n    name text,\n    email text,\n    phone text,\n    \
         birth_date date,\n    national_id text,\n    iban text,\n    card text\n);\n",
    );
    for row in persons(making) {
        let _ = writeln!(text, "INSERT INTO public.customers VALUES ('{}');", row.join("', '"));
    }
    text.push_str("-- PostgreSQL database dump complete\n");
    making.file(text.into_bytes(), 0o640);
}

/// Rows of eight fields. No field holds a comma or a quote.
fn persons(making: &mut Making<'_, '_>) -> Vec<[String; 8]> {
    (0..making.rows())
        .map(|at| {
            let draw = &mut making.draw;
            let person = Person::new(draw, format!("[{at}]"));
            [
                (1001 + at).to_string(),
                person.name(),
                person.email(draw),
                person.phone(draw),
                born(&mut draw.stream),
                person.national_id(draw),
                person.iban(draw),
                person.card(draw),
            ]
        })
        .collect()
}

/// One letter of contract a file.
pub(super) fn contracts(making: &mut Making<'_, '_>) {
    making.directory("", 0o755);
    for at in 0..making.rows() {
        let draw = &mut making.draw;
        let number =
            draw.mark(&format!("[{at}].number"), |s| format!("C-{}-{}", s.between(2019, 2026), s.text(6, SERIAL)));
        let person = Person::new(draw, format!("[{at}]"));
        let (email, iban) = (person.email(draw), person.iban(draw));
        let signed = date(draw.stream.past());
        let fee = draw.stream.between(12, 980) * 100;
        let stream = &mut draw.stream;
        let firm = format!("{} {}", surname(stream), stream.word(words::FORMS));
        let street = format!("{} {}", stream.word(words::STREETS), stream.between(1, 140));
        let (town, service) = (stream.word(words::TOWNS), stream.word(words::SERVICES));
        let text = format!(
            "CONTRACT No. {number}\n\nbetween {firm}, {street}, {town}\nrepresented by {}, {email}\n(the Client)\n\n\
             and the Contractor.\n\n1. Subject. The Contractor takes on the {service}.\n\
             2. Fee. EUR {fee}.00, payable within 30 days to account {iban}.\n\
             3. Confidentiality. Both parties keep this contract and all it names secret.\n\n\
             Signed in {town} on {signed}.\n",
            person.name()
        );
        making.below(&format!("contract-{:03}.txt", at + 1), text.into_bytes(), 0o600);
    }
}

/// One vCard 3.0 (RFC 2426) a file.
pub(super) fn vcards(making: &mut Making<'_, '_>) {
    making.directory("", 0o755);
    for at in 0..making.rows() {
        let draw = &mut making.draw;
        let person = Person::new(draw, format!("[{at}]"));
        let (email, phone) = (person.email(draw), person.phone(draw));
        let born = born(&mut draw.stream);
        let (first, last) = (person.first(), person.last());
        let text = format!(
            "BEGIN:VCARD\r\nVERSION:3.0\r\nN:{last};{first};;;\r\nFN:{first} {last}\r\nEMAIL;TYPE=INTERNET:{email}\r\n\
             TEL;TYPE=CELL:{phone}\r\nBDAY:{born}\r\nEND:VCARD\r\n"
        );
        let name = format!("{}-{}-{:02}.vcf", first.to_lowercase(), last.to_lowercase(), at + 1);
        making.below(&name, text.into_bytes(), 0o600);
    }
}

/// SQLite: `clients` and their `invoices`, two each.
pub(super) fn clients_db(making: &mut Making<'_, '_>) -> Result<(), GenerateError> {
    let database = Database::new(
        "CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, phone TEXT, iban TEXT,
           portal TEXT, since TEXT NOT NULL);
         CREATE TABLE invoices (id INTEGER PRIMARY KEY, client_id INTEGER NOT NULL REFERENCES clients(id),
           number TEXT NOT NULL UNIQUE, issued TEXT NOT NULL, service TEXT NOT NULL, cents INTEGER NOT NULL, paid INTEGER NOT NULL);
         CREATE INDEX invoices_client ON invoices(client_id);",
    )?;
    for at in 0..making.rows() {
        let draw = &mut making.draw;
        let person = Person::new(draw, format!(".clients[{at}]"));
        let id = at + 1;
        let portal = draw.mark(&format!(".clients[{at}].portal"), |s| format!("https://{}/", host(s)));
        database.insert(
            "INSERT INTO clients VALUES (?,?,?,?,?,?,?)",
            params![
                id,
                person.name(),
                person.email(draw),
                person.phone(draw),
                person.iban(draw),
                portal,
                date(draw.stream.past())
            ],
        )?;
        for second in 0..2 {
            let at = at * 2 + second;
            let number = draw
                .mark(&format!(".invoices[{at}].number"), |s| format!("INV-{}-{}", 2024 + second, s.text(7, SERIAL)));
            let issued = date(NEWEST - draw.stream.between(1, 600) as i64 * 86_400);
            let service = draw.stream.word(words::SERVICES);
            let cents = draw.stream.amount(4_000, 900_000);
            database.insert(
                "INSERT INTO invoices VALUES (?,?,?,?,?,?,?)",
                params![at + 1, id, number, issued, service, cents, draw.stream.amount(0, 2)],
            )?;
        }
    }
    let bytes = database.into_bytes()?;
    making.file(bytes, 0o600);
    Ok(())
}
