//! Tokens to an expression whose values have the types of their fields.

use std::ops::Range;

use super::ast::{Expr, Op, Pattern, Value};
use super::error::nearest;
use super::field::{FIELDS, Field, Type};
use super::lexer::{Kind, Token, Word, lex};
use super::{Context, Error, literal};

/// Longest filter that is read, in bytes: far more than anyone writes, little enough to be harmless.
const MAX_LENGTH: usize = 64 << 10;

/// Deepest nesting of groups and `not`s.
const MAX_DEPTH: usize = 64;

/// Reads a filter.
pub(super) fn parse(input: &str, context: &Context<'_>) -> Result<Expr, Error> {
    if input.len() > MAX_LENGTH {
        return Err(Error::new(format!("a filter may have {MAX_LENGTH} bytes; this one has {}", input.len()), 0..0));
    }
    let (tokens, error) = lex(input);
    if let Some(error) = error {
        return Err(error);
    }
    if tokens.is_empty() {
        return Ok(Expr::All);
    }
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), context, end: input.len(), depth: 0 };
    let expr = parser.or()?;
    match parser.tokens.next() {
        None => Ok(expr),
        Some(token) => Err(Error::new("no group is open that this could close", token.span)),
    }
}

struct Parser<'c> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    context: &'c Context<'c>,
    end: usize,
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, kind: &Kind) -> Option<Range<usize>> {
        self.tokens.next_if(|token| token.kind == *kind).map(|token| token.span)
    }

    fn or(&mut self) -> Result<Expr, Error> {
        let mut parts = vec![self.and()?];
        while self.take(&Kind::Or).is_some() {
            parts.push(self.and()?);
        }
        Ok(Expr::or(parts))
    }

    fn and(&mut self) -> Result<Expr, Error> {
        let mut parts = vec![self.unary()?];
        loop {
            let joined = self.take(&Kind::And).is_some();
            match self.tokens.peek().map(|token| &token.kind) {
                None | Some(Kind::Or | Kind::Close) if !joined => return Ok(Expr::and(parts)),
                _ => parts.push(self.unary()?),
            }
        }
    }

    fn unary(&mut self) -> Result<Expr, Error> {
        let Some(Token { kind, span }) = self.tokens.next() else {
            return Err(Error::new("a term is missing here", self.end..self.end)
                .help("a term is `field:value`, or a word to search for"));
        };
        match kind {
            Kind::Not | Kind::Open => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(Error::new(format!("more than {MAX_DEPTH} groups within each other"), span));
                }
                let expr = if kind == Kind::Not {
                    Expr::Not(Box::new(self.unary()?))
                } else {
                    let expr = self.or()?;
                    if self.take(&Kind::Close).is_none() {
                        return Err(Error::new("this group is never closed", span).help("a `)` is missing"));
                    }
                    expr
                };
                self.depth -= 1;
                Ok(expr)
            }
            Kind::Search(words) => Ok(Expr::Search(words.into_iter().map(|word| word.pattern).collect())),
            Kind::Field(name) => self.compare(&name, span),
            Kind::Op(op) => Err(Error::new(format!("no field stands before `{}`", op.sign()), span)
                .help("to search for the text itself, quote it")),
            Kind::Close => Err(Error::new("a term is missing before this", span)),
            Kind::And | Kind::Or => {
                Err(Error::new("a term is missing before this", span).help("to search for the word itself, quote it"))
            }
            // Always behind an operator.
            Kind::Values(_) => Err(Error::new("an operator is missing before this", span)),
        }
    }

    fn compare(&mut self, name: &str, span: Range<usize>) -> Result<Expr, Error> {
        let Some(field) = Field::find(name) else { return Err(no_field(name, span)) };
        let Some(Token { kind: Kind::Op(op), span: op_span }) = self.tokens.next() else {
            return Err(Error::new("an operator is missing behind this", span));
        };
        if !field.operators().contains(&op) {
            let signs: Vec<_> = field.operators().iter().map(|op| op.sign()).collect();
            let what = if field.is_numeric() { "a number" } else { "text" };
            return Err(Error::new(format!("`{}` is {what}; `{}` does not apply", field.name, op.sign()), op_span)
                .help(format!("it can be compared with {}", signs.join(" "))));
        }
        let words = match self.tokens.peek() {
            Some(Token { kind: Kind::Values(_), .. }) => self.tokens.next(),
            _ => None,
        };
        let Some(Token { kind: Kind::Values(words), .. }) = words else {
            return Err(Error::new("a value is missing behind this", op_span).help(values_help(field, self.context)));
        };
        if let Some(second) = words.get(1).filter(|_| op.is_order()) {
            return Err(Error::new(format!("`{}` takes one number", op.sign()), second.span.clone()));
        }
        let values = words.into_iter().map(|word| self.value(field, op, word)).collect::<Result<_, _>>()?;
        Ok(Expr::Compare { field, op, values })
    }

    fn value(&self, field: &'static Field, op: Op, word: Word) -> Result<Value, Error> {
        if field.is_numeric() {
            return number(field, op, &word);
        }
        let mut pattern = word.pattern;
        if matches!(op, Op::Equal | Op::NotEqual) {
            pattern = Pattern::literal(pattern.0.join(&b'*'));
        }
        if let (Type::Choice(_), Some(literal), false) =
            (field.kind, pattern.as_literal(), matches!(op, Op::Contains | Op::NotContains))
        {
            let choices = field.choices(self.context);
            match choices.iter().find(|choice| choice.as_bytes().eq_ignore_ascii_case(literal)) {
                Some(choice) => pattern = Pattern::literal(*choice),
                None if choices.is_empty() => {}
                None => return Err(no_choice(field, &String::from_utf8_lossy(literal), &choices, word.span)),
            }
        }
        Ok(Value::Text(pattern))
    }
}

fn number(field: &Field, op: Op, word: &Word) -> Result<Value, Error> {
    let wrong = || {
        let (name, kind) = (field.name, field.type_name());
        let example = match field.kind {
            Type::Time => "t:02:30, t>1.5s, t:02:30..02:50",
            Type::Duration => "took>10ms, took:1ms..5ms",
            Type::Size => "bytes>4k, bytes:1k..1M",
            _ => "pid:7, seq:100..200",
        };
        Error::new(format!("`{name}` is a {kind}, and this is not"), word.span.clone())
            .help(format!("such as {example}"))
    };
    if word.pattern.is_any() && op == Op::Is {
        return Ok(Value::Any);
    }
    let text = word.pattern.as_literal().and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(wrong)?;
    let Some((from, to)) = text.split_once("..") else {
        return literal::read(text, field.kind).map(Value::Number).ok_or_else(wrong);
    };
    if op != Op::Is {
        return Err(Error::new(format!("`{}` takes no range", op.sign()), word.span.clone()).help("ranges go with `:`"));
    }
    let end = |text: &str| match text {
        "" => Ok(None),
        text => literal::read(text, field.kind).map(Some).ok_or_else(wrong),
    };
    match (end(from)?, end(to)?) {
        (None, None) => Err(wrong()),
        (Some(from), Some(to)) if from.value > to.value => {
            Err(Error::new("this range ends before it begins", word.span.clone()))
        }
        (from, to) => Ok(Value::Range(from, to)),
    }
}

fn no_field(name: &str, span: Range<usize>) -> Error {
    let help = if let Some(similar) = super::nearest_field(name) {
        format!("did you mean `{similar}`? To search for the text itself, quote it")
    } else {
        let names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
        format!("fields are {}; to search for the text itself, quote it", names.join(", "))
    };
    Error::new(format!("no field is called `{}`", crate::redact::plain(name.as_bytes())), span).help(help)
}

fn no_choice(field: &Field, word: &str, choices: &[&str], span: Range<usize>) -> Error {
    let help = match nearest(word, choices.iter().copied()) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None if choices.len() <= 20 => format!("it can be {}", choices.join(", ")),
        None => format!("`{}~text` finds those that contain a text", field.name),
    };
    Error::new(format!("`{}` is never `{}`", field.name, crate::redact::plain(word.as_bytes())), span).help(help)
}

fn values_help(field: &Field, context: &Context<'_>) -> String {
    let choices = field.choices(context);
    match choices.len() {
        0 => format!("`{}` is {}: {}", field.name, field.type_name(), field.help),
        1..=20 => format!("it can be {}", choices.join(", ")),
        _ => format!("such as {}:{}", field.name, choices.first().copied().unwrap_or_default()),
    }
}
