//! What other witnesses saw, kept back until the witness of calls has told what came before: the gateway hears of a
//! request, and the terminal of a line, while the calls behind them are still in the kernel's ring. Whoever reads the
//! events, and analysis above all, must meet the cause first.

use std::collections::VecDeque;
use std::time::Instant;

use belljar_sandbox::event::{Batch, Event};

/// Most that waits, in events and bytes.
const MAX_EVENTS: usize = 4096;
const MAX_BYTES: usize = 32 << 20;

/// Events in the order they came, each alone in a batch, and since when it waits.
#[derive(Default)]
pub(super) struct Waiting {
    queue: VecDeque<(Instant, Batch)>,
    bytes: usize,
}

impl Waiting {
    /// The oldest, when there is no room for another: it is taken as it comes.
    pub(super) fn make_room(&mut self) -> Option<Batch> {
        let full = self.queue.len() >= MAX_EVENTS || self.bytes >= MAX_BYTES;
        self.pop_if(|_, _, _| full)
    }

    pub(super) fn put(&mut self, batch: &Batch, event: &Event) {
        let mut alone = Batch::default();
        let [object, target, detail, payload] =
            [event.object, event.target, event.detail, event.payload].map(|span| alone.put(batch.bytes(span)));
        alone.events.push(Event { object, target, detail, payload, ..*event });
        self.bytes += alone.arena.len();
        self.queue.push_back((Instant::now(), alone));
    }

    /// The oldest, when it is `ready`: given the time it came, and it alone in its batch.
    pub(super) fn pop_if(&mut self, ready: impl FnOnce(Instant, &Batch, &Event) -> bool) -> Option<Batch> {
        let (_, alone) = self
            .queue
            .pop_front_if(|(since, alone)| alone.events.first().is_none_or(|event| ready(*since, alone, event)))?;
        self.bytes -= alone.arena.len();
        Some(alone)
    }
}
