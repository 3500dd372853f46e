//! The filter as it is written: valid or not at every key, completed from the field registry, and the last one that
//! could be understood stays in force meanwhile.

use tui_input::{Input, InputRequest};

use super::saved::Saved;
use crate::query::complete::{Candidate, complete};
use crate::query::{Context, Error, Query};

/// Most candidates offered.
const OFFERED: usize = 8;

/// Another filter than before; none where all events fit.
#[derive(Debug)]
pub(super) struct Changed(pub(super) Option<Query>);

/// The filter bar.
#[derive(Debug, Default)]
pub(super) struct Bar {
    input: Input,
    /// Whether keys go into it.
    pub editing: bool,
    committed: String,
    /// What could not be understood.
    pub error: Option<Error>,
    /// What may come next, and which of it was taken.
    pub candidates: Vec<Candidate>,
    /// Which of them is taken next.
    pub chosen: usize,
    changed: Option<Changed>,
    /// What `@name`s stand for.
    pub names: Saved,
}

impl Bar {
    /// What stands in it.
    pub(super) fn text(&self) -> &str {
        self.input.value()
    }

    /// The filter in force when the bar was last left.
    pub(super) fn committed(&self) -> &str {
        &self.committed
    }

    /// Column of the cursor.
    pub(super) fn column(&self) -> usize {
        self.input.visual_cursor()
    }

    /// The filter to be looked for, when it is another one than before.
    pub(super) fn take_changed(&mut self) -> Option<Changed> {
        self.changed.take()
    }

    /// Begins to write.
    pub(super) fn edit(&mut self, context: &Context<'_>) {
        self.editing = true;
        self.input = Input::new(self.committed.clone());
        self.offer(context);
    }

    /// Writes, moves or deletes.
    pub(super) fn handle(&mut self, request: InputRequest, context: &Context<'_>) {
        if self.input.handle(request).is_some_and(|change| change.value) {
            self.read(context);
        }
        self.offer(context);
    }

    /// Takes the next candidate.
    pub(super) fn complete(&mut self, context: &Context<'_>) {
        let Some(candidate) = self.candidates.get(self.chosen) else { return };
        let text = self.input.value();
        let (before, after) = (text.get(..candidate.replace.start), text.get(candidate.replace.end..));
        let (Some(before), Some(after)) = (before, after) else { return };
        let cursor = before.chars().count() + candidate.text.chars().count();
        self.input = Input::new(format!("{before}{}{after}", candidate.text)).with_cursor(cursor);
        self.read(context);
        self.offer(context);
    }

    /// Leaves the bar. Takes what stands in it where `take` and it can be understood; else what was there before.
    /// Returns whether that was so.
    pub(super) fn leave(&mut self, take: bool, context: &Context<'_>) -> bool {
        let good = take && self.error.is_none();
        if take && !good {
            return false;
        }
        self.editing = false;
        self.candidates.clear();
        if good {
            self.committed = self.input.value().trim().to_owned();
        } else {
            let before = self.committed.clone();
            self.set(&before, context);
        }
        true
    }

    /// Puts a filter in force; returns whether it can be understood.
    pub(super) fn set(&mut self, text: &str, context: &Context<'_>) -> bool {
        self.input = Input::new(text.to_owned());
        self.read(context);
        if self.error.is_none() {
            text.clone_into(&mut self.committed);
        }
        self.error.is_none()
    }

    /// Takes the last term off; returns whether there was one.
    pub(super) fn pop(&mut self, context: &Context<'_>) -> bool {
        use crate::query::ast::Expr;
        let Ok(query) = self.query(&self.committed, context) else { return false };
        let shorter = match query.expr() {
            Expr::All => return false,
            Expr::And(parts) => {
                Expr::and(parts.iter().take(parts.len().saturating_sub(1)).cloned().collect()).to_string()
            }
            _ => String::new(),
        };
        self.set(&shorter, context)
    }

    fn query(&self, text: &str, context: &Context<'_>) -> Result<Query, Error> {
        Query::parse(&self.names.expand(text)?, context)
    }

    fn read(&mut self, context: &Context<'_>) {
        let text = self.input.value().trim();
        match self.query(self.input.value(), context) {
            Ok(query) => {
                self.error = None;
                self.changed = Some(Changed((!text.is_empty()).then_some(query)));
            }
            Err(error) => self.error = Some(error),
        }
    }

    fn offer(&mut self, context: &Context<'_>) {
        let text = self.input.value();
        let at = text.char_indices().nth(self.input.cursor()).map_or(text.len(), |(at, _)| at);
        self.candidates = complete(text, at, context);
        let start = text.get(..at).and_then(|before| before.rfind(char::is_whitespace)).map_or(0, |space| space + 1);
        if let Some(begun) = text.get(start..at).and_then(|word| word.strip_prefix('@')) {
            let fits = self.names.all().iter().filter(|(name, _)| name.starts_with(begun));
            let offer = |(name, filter): (&String, &String)| Candidate {
                text: format!("@{name}"),
                help: filter.clone(),
                replace: start..at,
            };
            self.candidates = fits.map(offer).collect();
        }
        // What stands there already is no help.
        let typed = |candidate: &Candidate| text.get(candidate.replace.clone()) == Some(candidate.text.as_str());
        self.candidates.retain(|candidate| !typed(candidate));
        self.candidates.truncate(OFFERED);
        self.chosen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(bar: &mut Bar, text: &str) {
        for c in text.chars() {
            bar.handle(InputRequest::InsertChar(c), &Context::default());
        }
    }

    #[test]
    fn the_last_good_filter_stays_until_another_is_understood() {
        let context = Context::default();
        let mut bar = Bar::default();
        bar.edit(&context);
        write(&mut bar, "op:read");
        assert!(bar.take_changed().is_some_and(|changed| changed.0.is_some()));
        write(&mut bar, " nosuch:1");
        assert!(bar.error.is_some());
        // `op:read nosuch` on the way is a filter: only what is wrong at the end counts.
        let _ = bar.take_changed();
        assert!(!bar.leave(true, &context), "what is wrong is not taken");
        assert!(bar.leave(false, &context));
        assert_eq!(bar.committed(), "");
    }

    #[test]
    fn tab_completes_and_terms_come_off_from_the_end() {
        let context = Context::default();
        let mut bar = Bar::default();
        bar.edit(&context);
        write(&mut bar, "witn");
        bar.complete(&context);
        assert_eq!(bar.text(), "witness:");
        write(&mut bar, "gate");
        bar.complete(&context);
        assert_eq!(bar.text(), "witness:gateway");
        write(&mut bar, " op:read bytes>4k");
        assert!(bar.leave(true, &context));
        for left in ["witness:gateway and op:read", "witness:gateway", ""] {
            assert!(bar.pop(&context));
            assert_eq!(bar.committed(), left);
        }
        assert!(!bar.pop(&context));
    }
}
