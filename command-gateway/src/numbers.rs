//! Ids of new quotes and commands. Quote numbers come from a sequence over all tenants and are taken in blocks,
//! so that a command stays one statement; what is left of a block when the process ends is a gap.

use cpq_domain::ids::{CommandId, QuoteId};
use cpq_domain::moment::Moment;
use cpq_state_stores::{Db, StoreError, commands};
use std::collections::VecDeque;
use tokio::sync::Mutex;
use ulid::Ulid;

/// Numbers taken at once.
const BLOCK: u32 = 64;

/// The next quote numbers of this process.
pub struct QuoteNumbers {
    db: Db,
    block: Mutex<VecDeque<i64>>,
}

impl QuoteNumbers {
    pub fn new(db: Db) -> Self {
        Self { db, block: Mutex::new(VecDeque::new()) }
    }

    /// An id that no quote has.
    pub async fn next(&self, at: Moment) -> Result<QuoteId, StoreError> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            block.extend(commands::reserve_quote_numbers(&self.db, BLOCK).await?);
        }
        let number =
            block.pop_front().ok_or_else(|| StoreError::Corrupt("the quote sequence gave nothing".to_owned()))?;
        Ok(QuoteId::numbered(at.year(), number))
    }
}

/// A new command's id.
pub fn command_id() -> CommandId {
    CommandId::new(Ulid::generate().to_string())
}
