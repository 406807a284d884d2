//! What processes and topics are called in the engine. An optional prefix keeps stacks apart that share one
//! engine; the ledger never holds it.

/// The approval process's key.
pub const QUOTE_APPROVAL: &str = "quote-approval";
/// The fulfilment process's key.
pub const FULFILMENT: &str = "order-fulfillment";

/// The names in the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineNames {
    prefix: String,
}

impl EngineNames {
    /// Names that begin with `prefix`, as in the models that were deployed with it.
    pub fn prefixed(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }
    /// The engine's name of a process or topic.
    pub fn of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
    /// Our name of what the engine calls so; `None`: it is not ours.
    pub fn ours<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefixed_name_leads_back_and_a_foreign_one_does_not() {
        let names = EngineNames::prefixed("blue-");
        assert_eq!(names.of("admit"), "blue-admit");
        assert_eq!(names.ours("blue-admit"), Some("admit"));
        assert_eq!(names.ours("admit"), None);
        assert_eq!(EngineNames::default().ours("admit"), Some("admit"));
    }
}
