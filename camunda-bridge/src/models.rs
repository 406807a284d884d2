//! The models of this build, compiled in: what `cpq workflow deploy` puts into the engine.

use crate::engine::Resource;
use crate::names::{EngineNames, FULFILMENT, QUOTE_APPROVAL};

/// The processes of this product, by the ledger's names.
pub const PROCESS_KEYS: [&str; 2] = [QUOTE_APPROVAL, FULFILMENT];
/// Name of the deployment that holds them; the engine compares new files with the newest deployment of it.
pub const DEPLOYMENT: &str = "cpq-streams";

const FILES: [(&str, &str); 3] = [
    ("quote-approval.bpmn", include_str!("../models/quote-approval.bpmn")),
    ("order-fulfillment.bpmn", include_str!("../models/order-fulfillment.bpmn")),
    // For people and their tools; the product evaluates the policy itself.
    ("approval-policy.dmn", include_str!("../models/approval-policy.dmn")),
];

/// The files, their processes and topics under the names that they have in the engine.
pub fn resources(names: &EngineNames) -> Vec<Resource> {
    let named = |text: &str| {
        let keys = PROCESS_KEYS.iter().fold(text.to_owned(), |text, key| {
            let name = names.of(key);
            text.replace(&format!("<bpmn:process id=\"{key}\""), &format!("<bpmn:process id=\"{name}\""))
                .replace(&format!("bpmnElement=\"{key}\""), &format!("bpmnElement=\"{name}\""))
        });
        keys.replace("camunda:topic=\"", &format!("camunda:topic=\"{}", names.of("")))
    };
    FILES.iter().map(|(name, text)| Resource { name: (*name).to_owned(), content: named(text) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_prefix_the_models_are_the_files() {
        let resources = resources(&EngineNames::default());
        assert!(resources.iter().zip(FILES).all(|(resource, (_, text))| resource.content == text));
    }

    #[test]
    fn a_prefix_names_processes_and_topics_and_nothing_else() {
        let approval = &resources(&EngineNames::prefixed("blue-"))[0].content;
        assert!(approval.contains("<bpmn:process id=\"blue-quote-approval\""));
        assert!(approval.contains("bpmnElement=\"blue-quote-approval\""));
        assert!(
            approval.contains("<bpmn:serviceTask id=\"admit\"") && approval.contains("camunda:topic=\"blue-admit\"")
        );
        assert!(!approval.contains("camunda:topic=\"admit\""));
    }
}
