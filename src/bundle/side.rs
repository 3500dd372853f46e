//! Side tables of a bundle, by row number: objects and payloads. Batches are decoded when a row of
//! them is asked for and kept while they fit into a budget, so memory does not grow with the
//! recording. Events refer to what is recent, so few batches are in use at a time.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{Array, LargeBinaryArray, RecordBatch};

use super::BundleError;
use super::frame::FrameFile;
use super::schema::{OBJECT_KINDS, values};
use crate::store::Object;

/// What a decoded batch is kept as.
pub(crate) trait Rows: Sized {
    /// Takes the batch apart; `None` when its contents are not what they should be.
    fn from_batch(batch: &RecordBatch) -> Option<Self>;
    /// About how many bytes it takes.
    fn cost(&self) -> usize;
}

/// A batch of objects.
pub(crate) type Objects = Vec<Arc<Object>>;
/// A batch of payloads.
pub(crate) type Payloads = LargeBinaryArray;

impl Rows for Objects {
    fn from_batch(batch: &RecordBatch) -> Option<Self> {
        let kinds = batch.column_by_name("kind")?.as_dictionary_opt::<UInt8Type>()?;
        let names = batch.column_by_name("name")?.as_binary_opt::<i32>()?;
        let words = values(OBJECT_KINDS, kinds.values().as_string_opt::<i32>()?);
        let rows = kinds.keys().values().iter().zip(names.iter());
        rows.map(|(kind, name)| {
            let kind = words.get(usize::from(*kind)).copied().flatten()?;
            Some(Arc::new(Object { kind, name: name?.into() }))
        })
        .collect()
    }

    fn cost(&self) -> usize {
        self.iter().map(|object| 64 + object.name.len()).sum()
    }
}

impl Rows for Payloads {
    fn from_batch(batch: &RecordBatch) -> Option<Self> {
        batch.column_by_name("data")?.as_binary_opt::<i64>().cloned()
    }

    fn cost(&self) -> usize {
        self.get_array_memory_size()
    }
}

/// A side table.
pub(crate) struct Side<T> {
    pub(crate) file: FrameFile,
    kept: HashMap<usize, Kept<T>>,
    bytes: usize,
    budget: usize,
    clock: u64,
}

struct Kept<T> {
    rows: T,
    cost: usize,
    used: u64,
}

impl<T: Rows> Side<T> {
    /// Over this file, keeping about `budget` bytes decoded.
    pub(crate) fn new(file: FrameFile, budget: usize) -> Self {
        Self { file, kept: HashMap::new(), bytes: 0, budget, clock: 0 }
    }

    /// The batch that holds row `id`, and the row in it; `None` when the file does not have it.
    pub(crate) fn get(&mut self, id: u64) -> Result<Option<(&T, usize)>, BundleError> {
        let Some((index, row)) = self.file.locate(id) else { return Ok(None) };
        self.clock += 1;
        if !self.kept.contains_key(&index) {
            let batch = self.file.batch(index)?;
            let rows = T::from_batch(&batch).ok_or_else(|| self.file.damaged_frame(index, "its words are not ours"))?;
            let cost = rows.cost();
            self.bytes += cost;
            while self.bytes > self.budget {
                let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(index, _)| *index);
                let Some(gone) = oldest.and_then(|index| self.kept.remove(&index)) else { break };
                self.bytes -= gone.cost;
            }
            self.kept.insert(index, Kept { rows, cost, used: self.clock });
        }
        let clock = self.clock;
        Ok(self.kept.get_mut(&index).map(|kept| {
            kept.used = clock;
            (&kept.rows, row)
        }))
    }
}
