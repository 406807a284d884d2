//! Reads one decision table out of a DMN 1.3 file. It knows the format and nothing of approval: which inputs
//! and outputs a table must have is `policy`'s. Attributes and elements of foreign namespaces are ignored.

use roxmltree::{Document, Node};

const DMN_1_3: &str = "https://www.omg.org/spec/DMN/20191111/MODEL/";
/// DMN's own default, and how editors write it.
const FEEL: [&str; 3] = ["https://www.omg.org/spec/DMN/20191111/FEEL/", "feel", "FEEL"];
/// The longest file that is read. The largest sensible policies have a few hundred rules: some 300 KB.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// The most rules of a table, as every submission tests all of them inside of its transaction.
pub(super) const MAX_RULES: usize = 1000;

/// A decision table as written: nothing is interpreted but its structure.
#[derive(Debug)]
pub(super) struct DecisionTable {
    pub(super) hit_policy: String,
    pub(super) inputs: Vec<Column>,
    pub(super) outputs: Vec<Column>,
    pub(super) rules: Vec<Rule>,
}

/// An input (named by its expression) or an output (named by its name).
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_ref: Option<String>,
}

/// A rule: its cells in the order of the columns.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) input_entries: Vec<String>,
    pub(super) output_entries: Vec<String>,
}

/// The table of the decision with that id, or every fault of structure that was found.
pub(super) fn decision_table(xml: &str, decision_id: &str) -> Result<DecisionTable, Vec<String>> {
    if xml.len() > MAX_BYTES {
        return Err(vec![format!("the file has {} bytes; at most {MAX_BYTES} are read", xml.len())]);
    }
    // roxmltree refuses DTDs, and with them entity expansion, by default.
    let document = Document::parse(xml).map_err(|error| vec![format!("not well-formed XML: {error}")])?;
    let root = document.root_element();
    if !root.has_tag_name((DMN_1_3, "definitions")) {
        let name = root.tag_name();
        let namespace = name.namespace().unwrap_or("none");
        let found = format!("<{}> of namespace {namespace}", name.name());
        return Err(vec![format!("the root must be <definitions> of DMN 1.3 ({DMN_1_3}); found {found}")]);
    }
    let table = children(root, "decision")
        .find(|decision| decision.attribute("id") == Some(decision_id))
        .ok_or_else(|| vec![format!("there is no decision with id '{decision_id}'")])
        .and_then(|decision| {
            let table = children(decision, "decisionTable").next();
            table.ok_or_else(|| vec![format!("decision '{decision_id}' has no decision table")])
        })?;
    read_table(table)
}

fn read_table(table: Node<'_, '_>) -> Result<DecisionTable, Vec<String>> {
    let mut faults = Vec::new();
    let inputs: Vec<Column> = children(table, "input").map(|input| input_column(input, &mut faults)).collect();
    let outputs: Vec<Column> = children(table, "output").map(|output| output_column(output, &mut faults)).collect();
    let rules: Vec<Rule> = children(table, "rule")
        .enumerate()
        .map(|(index, node)| read_rule(node, index, inputs.len(), outputs.len(), &mut faults))
        .collect();
    if rules.len() > MAX_RULES {
        faults.push(format!("the table has {} rules; at most {MAX_RULES} are allowed", rules.len()));
    }
    if table.attribute("aggregation").is_some() {
        faults.push("the table aggregates; every matched rule is needed, so leave 'aggregation' out".to_owned());
    }
    // DMN: a table without a hit policy is UNIQUE.
    let hit_policy = table.attribute("hitPolicy").unwrap_or("UNIQUE").to_owned();
    if faults.is_empty() { Ok(DecisionTable { hit_policy, inputs, outputs, rules }) } else { Err(faults) }
}

fn input_column(input: Node<'_, '_>, faults: &mut Vec<String>) -> Column {
    let Some(expression) = children(input, "inputExpression").next() else {
        faults.push(format!("input '{}' has no inputExpression", input.attribute("id").unwrap_or("?")));
        return Column { name: String::new(), type_ref: None };
    };
    check_language(expression, faults);
    Column { name: text_of(expression), type_ref: expression.attribute("typeRef").map(str::to_owned) }
}

fn output_column(output: Node<'_, '_>, faults: &mut Vec<String>) -> Column {
    if children(output, "defaultOutputEntry").next().is_some() {
        faults.push("an output has a default entry; where no rule matches, nobody need approve".to_owned());
    }
    let name = output.attribute("name").unwrap_or_default().to_owned();
    Column { name, type_ref: output.attribute("typeRef").map(str::to_owned) }
}

fn read_rule(rule: Node<'_, '_>, index: usize, inputs: usize, outputs: usize, faults: &mut Vec<String>) -> Rule {
    let id = rule.attribute("id").map_or_else(|| format!("rule {}", index + 1), str::to_owned);
    if rule.attribute("id").is_none() {
        faults.push(format!("{id} has no id; the evidence of an approval names rules by id"));
    }
    let mut entries = |name: &str, columns: usize| -> Vec<String> {
        let entries: Vec<Node<'_, '_>> = children(rule, name).collect();
        if entries.len() != columns {
            faults.push(format!("{id} has {} {name} for {columns} columns", entries.len()));
        }
        entries.iter().for_each(|entry| check_language(*entry, faults));
        entries.into_iter().map(text_of).collect()
    };
    let input_entries = entries("inputEntry", inputs);
    let output_entries = entries("outputEntry", outputs);
    Rule { id, input_entries, output_entries }
}

fn check_language(expression: Node<'_, '_>, faults: &mut Vec<String>) {
    if let Some(language) = expression.attribute("expressionLanguage").filter(|language| !FEEL.contains(language)) {
        faults.push(format!("an expression is in '{language}'; only FEEL is evaluated"));
    }
}

fn children<'a, 'input: 'a>(node: Node<'a, 'input>, name: &'a str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name((DMN_1_3, name)))
}

/// All of the text, also around comments: a cell that was half read would be another policy.
fn text_of(node: Node<'_, '_>) -> String {
    let text = children(node, "text").flat_map(|text| text.descendants()).filter(Node::is_text);
    text.filter_map(|text| text.text()).collect::<String>().trim().to_owned()
}
