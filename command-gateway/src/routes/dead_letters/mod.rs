//! `/dead-letters`: the parked keys of the caller's tenant, for operators. What may be done with them is judged in
//! `cpq_runtime::dead_letters`, as for the command line; records are released by the consumer that parked them.

pub mod act;
pub mod get;
pub mod list;
pub mod view;

use crate::call::Call;
use crate::problem::Problem;
use cpq_domain::rejection::ErrorCode;

/// The id in the path, if it can be one.
fn dead_letter_id(call: &Call) -> Result<&str, Problem> {
    call.usable_segment("deadLetterId").ok_or_else(not_found)
}

fn not_found() -> Problem {
    Problem::new(ErrorCode::DeadLetterNotFound, "There is no such dead letter in this tenant.")
}
