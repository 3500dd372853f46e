//! What may come next in a filter that is being written.

use std::ops::Range;

use super::Context;
use super::field::{FIELDS, Field};
use super::lexer::{Kind, lex};

/// One thing that may stand at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What to write.
    pub text: String,
    /// In place of these bytes of the filter.
    pub replace: Range<usize>,
    /// One line of help.
    pub help: String,
}

/// Candidates for the word that ends at byte `cursor` of `input`: fields and joining words, or
/// values of the field before it. Those that begin with the word come first, then those that
/// contain it.
pub fn complete(input: &str, cursor: usize, context: &Context<'_>) -> Vec<Candidate> {
    let Some(before) = input.get(..cursor) else { return Vec::new() };
    let (tokens, error) = lex(before);
    let mut last = tokens.iter().rev();
    let (word, field) = match (last.next().map(|token| (&token.kind, &token.span)), &error) {
        (Some((Kind::Search(words), span)), None) if span.end == cursor && words.len() == 1 => (span.start, None),
        (Some((Kind::And | Kind::Or | Kind::Not, span)), None)
            if span.end == cursor && before.ends_with(|c: char| c.is_alphabetic()) =>
        {
            (span.start, None)
        }
        (Some((Kind::Values(words), _)), error) => {
            let start = match (words.last(), error) {
                (Some(word), None) if word.span.end == cursor => word.span.start,
                (_, None) => cursor,
                _ => return Vec::new(),
            };
            let is_here = start < cursor;
            let field = last.nth(1).map(|token| &token.kind);
            (start, if is_here { field } else { None })
        }
        (Some((Kind::Op(_), _)), None) => (cursor, last.next().map(|token| &token.kind)),
        // Behind `op:read|` the next value is missing: not an error yet.
        (Some((Kind::Op(_), _)), Some(error)) if error.span == (cursor..cursor) => {
            (cursor, last.next().map(|token| &token.kind))
        }
        (_, Some(_)) => return Vec::new(),
        _ => (cursor, None),
    };
    let typed = before.get(word..).unwrap_or_default();
    let replace = word..cursor;
    let mut candidates = match field {
        Some(Kind::Field(name)) => Field::find(name).map_or_else(Vec::new, |field| values(field, context)),
        _ => names(),
    };
    let typed = typed.to_lowercase();
    candidates.retain(|(text, _)| text.to_lowercase().contains(&typed));
    candidates.sort_by_key(|(text, _)| !text.to_lowercase().starts_with(&typed));
    let made = |(text, help)| Candidate { text, replace: replace.clone(), help };
    candidates.into_iter().map(made).collect()
}

fn names() -> Vec<(String, String)> {
    let sign = |field: &Field| if field.is_numeric() { "" } else { ":" };
    let fields = FIELDS.iter().map(|field| (format!("{}{}", field.name, sign(field)), field.help.to_owned()));
    let words = [("and", "both must hold"), ("or", "one must hold"), ("not", "what follows must not hold")];
    fields.chain(words.map(|(word, help)| (word.to_owned(), help.to_owned()))).collect()
}

fn values(field: &Field, context: &Context<'_>) -> Vec<(String, String)> {
    let choices = field.choices(context);
    choices.into_iter().map(|choice| (super::ast::Pattern::literal(choice).to_string(), String::new())).collect()
}
