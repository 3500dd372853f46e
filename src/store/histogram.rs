//! How much happened when: events per stretch of time, all and by verb. A session has no known end, so the stretches
//! grow: when time runs past the last one, each two become one. The number of buckets never does.

use super::Verbs;

/// Buckets; more than any screen is wide, so that halving them leaves enough.
const BUCKETS: usize = 2048;
/// The first width of a bucket, nanoseconds.
const FIRST_WIDTH: u64 = 1 << 20;

/// What happened in one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Events.
    pub events: u64,
    /// Events by verb, in the order of [`super::Verb::ALL`].
    pub verbs: [u32; 8],
    /// Events with a verb that the sandbox refused.
    pub denied: u32,
}

impl Bucket {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        for (sum, more) in self.verbs.iter_mut().zip(other.verbs) {
            *sum = sum.saturating_add(more);
        }
        self.denied = self.denied.saturating_add(other.denied);
    }

    /// Events of all verbs.
    pub fn client(&self) -> u64 {
        self.verbs.iter().map(|count| u64::from(*count)).sum()
    }
}

/// Counts over time.
#[derive(Clone, Debug)]
pub struct Histogram {
    width: u64,
    buckets: Vec<Bucket>,
    end: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { width: FIRST_WIDTH, buckets: vec![Bucket::default(); BUCKETS], end: 0 }
    }
}

impl Histogram {
    /// Counts one event.
    pub fn add(&mut self, time_ns: u64, verbs: Verbs, denied: bool) {
        while time_ns / self.width >= BUCKETS as u64 {
            self.halve();
        }
        self.end = self.end.max(time_ns);
        let Some(bucket) = self.buckets.get_mut((time_ns / self.width) as usize) else { return };
        bucket.events += 1;
        if verbs.0 != 0 {
            for verb in verbs.iter() {
                if let Some(count) = bucket.verbs.get_mut(verb as usize) {
                    *count = count.saturating_add(1);
                }
            }
            bucket.denied = bucket.denied.saturating_add(u32::from(denied));
        }
    }

    fn halve(&mut self) {
        for at in 0..BUCKETS / 2 {
            let mut sum = Bucket::default();
            for bucket in self.buckets.iter().skip(2 * at).take(2) {
                sum.add(bucket);
            }
            if let Some(place) = self.buckets.get_mut(at) {
                *place = sum;
            }
        }
        for bucket in self.buckets.iter_mut().skip(BUCKETS / 2) {
            *bucket = Bucket::default();
        }
        self.width *= 2;
    }

    /// The latest time counted, nanoseconds.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The time from 0 to `end` cut into `columns` equal parts. A part narrower than a bucket shows the bucket
    /// in which it begins only once, so that sums stay what they are.
    pub fn columns(&self, columns: usize, end: u64) -> Vec<Bucket> {
        let mut out = vec![Bucket::default(); columns];
        let end = u128::from(end.max(1)) + 1;
        for (at, bucket) in self.buckets.iter().enumerate().filter(|(_, bucket)| bucket.events > 0) {
            let time = u128::from(at as u64) * u128::from(self.width) + u128::from(self.width / 2);
            let column = (time * columns as u128 / end) as usize;
            if let Some(place) = out.get_mut(column.min(columns.saturating_sub(1))) {
                place.add(bucket);
            }
        }
        out
    }

    /// Events in the second that ends at `time_ns`, to a bucket's width.
    pub fn rate(&self, time_ns: u64) -> u64 {
        let buckets = (1_000_000_000 / self.width).max(1);
        let last = time_ns / self.width;
        let first = last.saturating_sub(buckets - 1);
        let sum: u64 =
            self.buckets.iter().skip(first as usize).take((last + 1 - first) as usize).map(|b| b.events).sum();
        (u128::from(sum) * 1_000_000_000 / u128::from((last + 1 - first) * self.width)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Verb;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_lost_however_long_it_takes(times in proptest::collection::vec(0..u64::MAX / 4, 0..60), columns in 1..300_usize) {
            let mut histogram = Histogram::default();
            let mut verbs = Verbs::default();
            verbs.insert(Verb::Transmit);
            for time in &times {
                histogram.add(*time, verbs, true);
            }
            let shown = histogram.columns(columns, histogram.end());
            prop_assert_eq!(shown.len(), columns);
            prop_assert_eq!(shown.iter().map(|b| b.events).sum::<u64>(), times.len() as u64);
            prop_assert_eq!(shown.iter().map(|b| u64::from(b.denied)).sum::<u64>(), times.len() as u64);
        }
    }

    #[test]
    fn events_stand_where_they_happened() {
        let mut histogram = Histogram::default();
        for second in 0..10 {
            histogram.add(second * 1_000_000_000 + 500_000_000, Verbs::default(), false);
        }
        let shown = histogram.columns(10, 9_999_999_999);
        assert!(shown.iter().all(|bucket| bucket.events == 1), "{shown:?}");
    }
}
