//! Text with escapes, undone from the first escape on until there has been none for long: where a
//! program has one in a page, the page is not searched twice.

use super::escapes::{Sort, Unescape};
use super::radix::Alphabet;
use super::{Context, Decoder as _, EDGE, Edge, Node, ROOM, Step};
use crate::analysis::encoding::Encoding;
use crate::analysis::search::KEPT;

/// Sorts of escapes undone within each other. Each looks at the whole text anew.
const MAX_TEXTS: u8 = 2;

/// Text whose escapes are undone.
pub(super) struct Text {
    unescape: Unescape,
    node: Node,
}

impl Text {
    /// Undoes `bytes` and searches what comes out. Returns how many were taken where there has
    /// been no escape for long, and nothing is open that one had begun.
    fn push(&mut self, bytes: &[u8], context: &mut Context<'_>) -> Option<usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let rest = rest.get(..ROOM).unwrap_or(rest);
            let (taken, step) = context.made(&mut self.node, |out| self.unescape.step(rest, out));
            at += taken;
            if context.cut {
                return None;
            }
            // What came before is taken whole.
            if step == Step::Done {
                if !context.muted && !self.node.deep.as_ref().is_some_and(|deep| deep.is_open()) {
                    return Some(at);
                }
                self.unescape.go_on();
            }
        }
        None
    }

    /// Bytes of memory held beside itself.
    pub(super) fn weight(&self) -> usize {
        self.unescape.weight() + self.node.weight()
    }
}

impl Node {
    /// Text with escapes.
    pub(super) fn texts(&mut self, bytes: &[u8], context: &mut Context<'_>) {
        if self.texts >= MAX_TEXTS {
            return;
        }
        let edge = Edge::new(&self.trace, bytes, EDGE);
        for sort in Sort::ALL {
            let mut at = 0;
            let mut open = self.deep.as_mut().and_then(|deep| {
                let at = deep.texts.iter().position(|(known, _)| *known == sort)?;
                Some(deep.texts.swap_remove(at).1)
            });
            loop {
                let mut text = if let Some(text) = open.take() {
                    text
                } else {
                    let Some((escape, encoding)) = Self::escaped(sort, &edge, bytes, at) else { break };
                    if !self.may_open(context) {
                        return;
                    }
                    let node = Self { texts: self.texts + 1, ..Self::inside(self.path.and(encoding)) };
                    let mut text = Text { unescape: Unescape::new(sort), node };
                    // What came before stands there as it is: told already, but a value or a run may go on.
                    let lead = bytes.get(at..escape).unwrap_or_default();
                    let from = escape - lead.len().min(Alphabet::Base85.trailing(lead).max(KEPT));
                    let muted = std::mem::replace(&mut context.muted, true);
                    if from == 0 {
                        text.push(self.trace.all(), context);
                    }
                    text.push(bytes.get(from..escape).unwrap_or_default(), context);
                    context.muted = muted;
                    at = escape;
                    text
                };
                let Some(taken) = text.push(bytes.get(at..).unwrap_or_default(), context) else {
                    self.deep().texts.push((sort, text));
                    break;
                };
                at += taken;
            }
        }
    }

    /// Where an escape begins in these bytes at `from` or behind, or 0 where it does so before
    /// them, and which encoding it is of.
    fn escaped(sort: Sort, edge: &Edge, bytes: &[u8], from: usize) -> Option<(usize, Encoding)> {
        let begins = |bytes: &[u8], from: usize| {
            let at = sort.first(bytes, from)?;
            Some((at, sort.encoding(bytes.get(at..)?)))
        };
        let over = if edge.before > 0 && from == 0 { begins(edge.bytes(), 0) } else { None };
        over.map(|(at, encoding)| (at.saturating_sub(edge.before), encoding)).or_else(|| begins(bytes, from))
    }
}
