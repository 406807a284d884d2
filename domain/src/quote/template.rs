//! Which templates a document can be made from, by id and current version. How they look is the document
//! role's; a version is part of an artifact's identity.

/// The template that is used where a request names none.
pub const DEFAULT_TEMPLATE: &str = "standard-proposal";

/// Templates and their current versions. A new look is a new version here and in the document role.
const CURRENT: [(&str, &str); 1] = [(DEFAULT_TEMPLATE, "1")];

/// The current version of a template; `None` if there is no such template.
pub fn current_version(template_id: &str) -> Option<&'static str> {
    CURRENT.iter().find(|(id, _)| *id == template_id).map(|(_, version)| *version)
}

/// The ids of all templates.
pub fn ids() -> impl Iterator<Item = &'static str> {
    CURRENT.iter().map(|(id, _)| *id)
}
