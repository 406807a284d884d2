//! Which BPMN errors a deployed version of a model catches. An error that nothing catches silently ends its scope as
//! if the work were done, so that whoever raises one asks first.

use super::{EngineClient, EngineError};
use roxmltree::{Document, Node};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Versions that are remembered: some generations of the few models. A version never changes.
const MAX_KNOWN: usize = 64;

/// The models that were read so far, by definition id.
pub(super) type Known = Arc<Mutex<HashMap<String, Arc<Caught>>>>;

/// What is caught where, in one version of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caught {
    /// Of each activity or scope, the codes that are caught at its border or by a handler inside of it; `None`
    /// stands for every code.
    at: HashMap<String, Vec<Option<String>>>,
    /// The scope that holds each activity or scope.
    parents: HashMap<String, String>,
}

impl Caught {
    /// Reads a model's XML.
    pub fn read(model: &str) -> Result<Self, roxmltree::Error> {
        let document = Document::parse(model)?;
        let codes: HashMap<&str, Option<&str>> = named(&document, "error")
            .filter_map(|error| Some((error.attribute("id")?, error.attribute("errorCode"))))
            .collect();
        let mut caught = Self::default();
        for node in document.descendants() {
            let (Some(id), Some(parent)) = (node.attribute("id"), node.parent_element()) else { continue };
            if let Some(parent) = parent.attribute("id") {
                caught.parents.insert(id.to_owned(), parent.to_owned());
            }
        }
        for definition in named(&document, "errorEventDefinition") {
            let Some(scope) = definition.parent_element().and_then(catching_scope) else { continue };
            let code = definition.attribute("errorRef").and_then(|error| codes.get(error).copied().flatten());
            caught.at.entry(scope.to_owned()).or_default().push(code.map(str::to_owned));
        }
        Ok(caught)
    }

    /// Whether an error of this code, raised by this activity, is caught by it or by a scope around it.
    pub fn catches(&self, activity: &str, code: &str) -> bool {
        let mut scope = Some(activity);
        while let Some(id) = scope {
            let codes = self.at.get(id).map(Vec::as_slice).unwrap_or_default();
            if codes.iter().any(|caught| caught.as_deref().is_none_or(|caught| caught == code)) {
                return true;
            }
            scope = self.parents.get(id).map(String::as_str);
        }
        false
    }
}

fn named<'a, 'i>(document: &'a Document<'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    document.descendants().filter(move |node| node.tag_name().name() == name)
}

/// Whose errors an event catches: those of the activity that it is attached to, or, where it starts a handler, those
/// of the scope that holds the handler. An end event throws and catches nothing.
fn catching_scope<'a>(event: Node<'a, '_>) -> Option<&'a str> {
    match event.tag_name().name() {
        "boundaryEvent" => event.attribute("attachedToRef"),
        "startEvent" => event.parent_element()?.parent_element()?.attribute("id"),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    bpmn20_xml: String,
}

impl EngineClient {
    /// Whether the model of this very version catches an error of this code at this activity.
    pub async fn catches(&self, definition_id: &str, activity: &str, code: &str) -> Result<bool, EngineError> {
        let known = self.models().lock().unwrap_or_else(PoisonError::into_inner).get(definition_id).cloned();
        let caught = match known {
            Some(caught) => caught,
            None => self.read_model(definition_id).await?,
        };
        Ok(caught.catches(activity, code))
    }

    async fn read_model(&self, definition_id: &str) -> Result<Arc<Caught>, EngineError> {
        let model: Model = self.get(&["process-definition", definition_id, "xml"], &[]).await?;
        let caught =
            Caught::read(&model.bpmn20_xml).map_err(|error| EngineError::Unreadable { detail: error.to_string() })?;
        let caught = Arc::new(caught);
        let mut known = self.models().lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(definition_id.to_owned(), caught.clone());
        Ok(caught)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const MODEL: &str = r#"<definitions>
        <process id="p">
          <serviceTask id="outside" />
          <subProcess id="line">
            <serviceTask id="step" />
            <boundaryEvent id="b1" attachedToRef="step"><errorEventDefinition errorRef="refused" /></boundaryEvent>
            <serviceTask id="bare" />
            <endEvent id="thrown"><errorEventDefinition errorRef="thrown-error" /></endEvent>
            <subProcess id="handler" triggeredByEvent="true">
              <startEvent id="s"><errorEventDefinition errorRef="handled" /></startEvent>
            </subProcess>
          </subProcess>
          <boundaryEvent id="b2" attachedToRef="line"><errorEventDefinition errorRef="around" /></boundaryEvent>
          <serviceTask id="any" />
          <boundaryEvent id="b3" attachedToRef="any"><errorEventDefinition /></boundaryEvent>
        </process>
        <error id="refused" errorCode="REFUSED" />
        <error id="handled" errorCode="HANDLED" />
        <error id="around" errorCode="AROUND" />
        <error id="thrown-error" errorCode="THROWN" />
      </definitions>"#;

    #[rstest]
    #[case::at_its_border("step", "REFUSED", true)]
    #[case::at_another_s_border("bare", "REFUSED", false)]
    #[case::by_a_handler_of_its_scope("bare", "HANDLED", true)]
    #[case::around_its_scope("step", "AROUND", true)]
    #[case::outside_of_the_scope("outside", "AROUND", false)]
    #[case::thrown_and_not_caught("step", "THROWN", false)]
    #[case::by_one_that_takes_all("any", "WHATEVER", true)]
    #[case::unknown_activity("gone", "REFUSED", false)]
    fn an_error_is_caught_where_the_model_says_so(#[case] activity: &str, #[case] code: &str, #[case] caught: bool) {
        assert_eq!(Caught::read(MODEL).unwrap().catches(activity, code), caught);
    }
}
