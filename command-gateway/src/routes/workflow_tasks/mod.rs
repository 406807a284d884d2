//! `/workflow-tasks/{taskId}`: one file per verb.

pub mod claim;
pub mod completion;
pub mod unclaim;

use crate::form::Object;

/// A body that says nothing; it may be left out.
pub static NOTHING: Object = Object {
    name: "Nothing",
    describes: "An empty object, or no body at all.",
    fields: &[],
    also: None,
    example: "{}",
};
