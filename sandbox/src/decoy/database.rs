//! SQLite files made in memory: real pages, no temporary file, no fsync.

use rusqlite::{Connection, Params};

/// A database under construction.
pub(super) struct Database(Connection);

impl Database {
    /// An empty database with this schema.
    pub(super) fn new(schema: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        // One transaction for everything: closed by `into_bytes`.
        connection.execute_batch("BEGIN")?;
        connection.execute_batch(schema)?;
        Ok(Self(connection))
    }

    /// Adds a row. The statement is prepared once.
    pub(super) fn insert(&self, statement: &str, values: impl Params) -> rusqlite::Result<()> {
        self.0.prepare_cached(statement)?.execute(values)?;
        Ok(())
    }

    /// The bytes of the file.
    pub(super) fn into_bytes(mut self) -> rusqlite::Result<Vec<u8>> {
        self.0.execute_batch("COMMIT")?;
        Ok(self.0.serialize("main")?.to_vec())
    }
}
