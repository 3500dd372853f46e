//! Text to tokens. A word is made of bare text, quoted text and stars in any order, as in a
//! shell; what may stand in it unquoted depends on whether it is a value.

use std::ops::Range;

use super::Error;
use super::ast::{Op, Pattern};

/// A token and where it stands (bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Close,
    And,
    Or,
    Not,
    /// A name with an operator behind it.
    Field(String),
    Op(Op),
    /// What follows an operator.
    Values(Vec<Word>),
    /// Words without a field.
    Search(Vec<Word>),
}

/// A value, or a word searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub pattern: Pattern,
    /// No part of it was quoted or escaped.
    pub bare: bool,
    pub span: Range<usize>,
}

/// Tokens up to the end or the first error.
pub(super) fn lex(input: &str) -> (Vec<Token>, Option<Error>) {
    let mut lexer = Lexer { input, at: 0, tokens: Vec::new() };
    let error = lexer.run().err();
    (lexer.tokens, error)
}

struct Lexer<'i> {
    input: &'i str,
    at: usize,
    tokens: Vec<Token>,
}

impl<'i> Lexer<'i> {
    fn rest(&self) -> &'i str {
        self.input.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn skip_space(&mut self) {
        self.at = self.input.len() - self.rest().trim_start().len();
    }

    fn push(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token { kind, span: start..self.at });
    }

    fn run(&mut self) -> Result<(), Error> {
        loop {
            self.skip_space();
            let start = self.at;
            let simple = [("(", Kind::Open), (")", Kind::Close), ("&&", Kind::And), ("||", Kind::Or)];
            if self.peek().is_none() {
                return Ok(());
            } else if let Some((_, kind)) = simple.into_iter().find(|(text, _)| self.take(text)) {
                self.push(kind, start);
            } else if self.operator().is_some() {
                self.values()?;
            } else if self.take("!") {
                self.push(Kind::Not, start);
            } else if let Some(sign @ ('|' | ',')) = self.peek() {
                return Err(Error::new(format!("`{sign}` stands between no two values"), start..start + 1)
                    .help(format!("values are joined without spaces: op:read{sign}write; terms with `or`")));
            } else {
                self.words()?;
            }
        }
    }

    fn operator(&self) -> Option<Op> {
        Op::ALL.into_iter().find(|op| self.rest().starts_with(op.sign()))
    }

    /// Words without a field, a keyword, or the name of a field.
    fn words(&mut self) -> Result<(), Error> {
        let start = self.at;
        let words = self.list(false)?;
        let end = self.at;
        self.skip_space();
        let is_field = self.operator().is_some();
        self.at = end;
        let name = self.input.get(start..end).unwrap_or_default();
        let bare = words.iter().all(|word| word.bare);
        let kind = match name.to_ascii_lowercase().as_str() {
            _ if is_field && bare => Kind::Field(name.to_owned()),
            "and" => Kind::And,
            "or" => Kind::Or,
            "not" => Kind::Not,
            _ => Kind::Search(words),
        };
        self.push(kind, start);
        Ok(())
    }

    /// An operator, and the values behind it where there are any.
    fn values(&mut self) -> Result<(), Error> {
        let start = self.at;
        let Some(op) = self.operator() else { return Ok(()) };
        self.at += op.sign().len();
        self.push(Kind::Op(op), start);
        self.skip_space();
        if self.peek().is_some_and(|c| c != ')') {
            let start = self.at;
            let words = self.list(true)?;
            self.push(Kind::Values(words), start);
        }
        Ok(())
    }

    fn list(&mut self, value: bool) -> Result<Vec<Word>, Error> {
        let mut words = vec![self.word(value)?];
        while !self.rest().starts_with("||") && (self.take("|") || self.take(",")) {
            words.push(self.word(value)?);
        }
        Ok(words)
    }

    /// One word. Leaves the position behind it.
    fn word(&mut self, value: bool) -> Result<Word, Error> {
        let start = self.at;
        let mut parts = vec![Vec::new()];
        let mut bare = true;
        while let Some(c) = self.peek() {
            let ends = c.is_whitespace() || matches!(c, '(' | ')' | '|' | ',');
            if ends || (!value && self.operator().is_some()) {
                break;
            }
            match c {
                '\'' | '"' => {
                    bare = false;
                    self.quoted(c, &mut parts)?;
                }
                '\\' => {
                    bare = false;
                    self.escape(&mut parts)?;
                }
                '*' => {
                    self.at += 1;
                    // Two stars say no more than one.
                    if parts.len() == 1 || parts.last().is_some_and(|last| !last.is_empty()) {
                        parts.push(Vec::new());
                    }
                }
                c => self.literal(c, &mut parts),
            }
        }
        if self.at == start {
            let what = if value { "a value is missing here" } else { "a word is missing here" };
            return Err(Error::new(what, start..start).help("an empty value is written \"\""));
        }
        Ok(Word { pattern: Pattern(parts), bare, span: start..self.at })
    }

    fn literal(&mut self, c: char, parts: &mut [Vec<u8>]) {
        self.at += c.len_utf8();
        add(parts, c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn quoted(&mut self, quote: char, parts: &mut [Vec<u8>]) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => {
                    let error = Error::new(format!("this {quote} is never closed"), start..start + 1);
                    return Err(error.help(format!("end the text with another {quote}, or write \\{quote} for itself")));
                }
                Some(c) if c == quote => break,
                Some('\\') if quote == '"' => self.escape(parts)?,
                Some(c) => self.literal(c, parts),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// What belljar prints for bytes it does not show as they are, and `\` before any sign.
    fn escape(&mut self, parts: &mut [Vec<u8>]) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.peek() else {
            return Err(Error::new("nothing follows the backslash", start..self.at).help("write \\\\ for a backslash"));
        };
        self.at += c.len_utf8();
        match c {
            'n' => add(parts, b"\n"),
            'r' => add(parts, b"\r"),
            't' => add(parts, b"\t"),
            'x' => {
                let digits = self.rest().get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                self.at += if byte.is_some() { 2 } else { 0 };
                add(parts, &[byte.ok_or_else(|| self.bad_escape(start))?]);
            }
            'u' => {
                let digits =
                    self.rest().strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(digits, _)| digits);
                let hex = digits.filter(|d| d.len() <= 6 && d.bytes().all(|b| b.is_ascii_hexdigit()));
                let c = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
                self.at += if c.is_some() { hex.map_or(0, |hex| hex.len() + 2) } else { 0 };
                let c = c.ok_or_else(|| self.bad_escape(start))?;
                add(parts, c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            c if c.is_ascii_alphanumeric() || !c.is_ascii() => return Err(self.bad_escape(start)),
            c => add(parts, c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        Ok(())
    }

    fn bad_escape(&self, start: usize) -> Error {
        Error::new("this escape is not known", start..self.at)
            .help("known are \\n \\r \\t \\xNN \\u{NNNN} and \\ before a sign, as in \\\\")
    }
}

fn add(parts: &mut [Vec<u8>], bytes: &[u8]) {
    if let Some(last) = parts.last_mut() {
        last.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(input: &str) -> Vec<Vec<String>> {
        let (tokens, error) = lex(input);
        assert_eq!(error, None);
        let words = tokens.into_iter().flat_map(|token| match token.kind {
            Kind::Values(words) | Kind::Search(words) => words,
            _ => Vec::new(),
        });
        words.map(|w| w.pattern.0.iter().map(|part| part.escape_ascii().to_string()).collect()).collect()
    }

    #[test]
    fn words_mix_bare_text_quotes_and_stars() {
        assert_eq!(patterns(r#"path:/a*" b*"'\c'\*"#), [["/a", r" b*\\c*"]]);
        assert_eq!(patterns("a|b,c"), [["a"], ["b"], ["c"]]);
        assert_eq!(patterns("t:1:02..3 path~x=~y"), [["1:02..3"], ["x=~y"]]);
        assert_eq!(patterns(r"x:\xff\u{202e}\n***"), [[r"\xff\xe2\x80\xae\n", ""]]);
    }

    #[test]
    fn errors_say_where() {
        let span = |input: &str| lex(input).1.map(|error| error.span);
        assert_eq!(span("a \"b"), Some(2..3));
        assert_eq!(span(r"a \q"), Some(2..4));
        assert_eq!(span(r"a \"), Some(2..3));
        assert_eq!(span("op:a|"), Some(5..5));
        assert_eq!(span("op:a | b"), Some(5..6));
        assert_eq!(span("op:a || b"), None);
    }
}
