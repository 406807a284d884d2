//! The oracle: `e2e/python/pricing_oracle.py` in a process of its own, asked in batches; and whether two answers
//! are the same.

use cpq_domain::rejection::FieldCode;
use cpq_e2e::settings;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

pub struct Oracle {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    pub fn start() -> Self {
        let program = settings::repository().join("e2e/python/pricing_oracle.py");
        let mut process = Command::new("python3")
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python 3 is there");
        let (questions, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, questions, answers: BufReader::new(answers) }
    }

    /// Answers to quotes under one catalog, in their order; the work goes on meanwhile. None if it breaks off.
    pub fn ask<T>(
        &mut self,
        reference: &Value,
        quotes: &[Value],
        meanwhile: impl FnOnce() -> T,
    ) -> Option<(Vec<Value>, T)> {
        let mut text = line(reference, "catalogRef");
        quotes.iter().for_each(|quote| text += &line(quote, "catalogRef"));
        let Self { questions, answers, .. } = self;
        thread::scope(|scope| {
            // From another thread: both pipes are shorter than a batch.
            let asking = scope.spawn(move || questions.write_all(text.as_bytes()).and_then(|()| questions.flush()));
            let done = meanwhile();
            let read: Option<Vec<Value>> =
                answers.lines().take(quotes.len()).map(|line| serde_json::from_str(&line.ok()?).ok()).collect();
            let asked = asking.join().ok()?.is_ok();
            read.filter(|read| asked && read.len() == quotes.len()).map(|read| (read, done))
        })
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It reads until its input ends; one that broke off has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One line of a batch: batches have one catalog each.
fn line(document: &Value, reference: &str) -> String {
    let mut document = document.clone();
    document[reference] = json!("catalog");
    format!("{document}\n")
}

/// Whether the product's answer (`product::shown`) is the oracle's: the same price to the last digit, or refused
/// for the same, at the same places. Which of several codes is the answer's, the contract leaves open.
pub fn agrees(product: &Value, oracle: &Value) -> bool {
    let Some(faults) = oracle.get("faults").and_then(Value::as_array) else {
        let mut price = product["price"].clone();
        if let Some(members) = price.as_object_mut() {
            // The name of the product's policy.
            members.remove("policyVersion");
        }
        return price == oracle["price"];
    };
    let code = &product["errorCode"];
    if code.is_null() || !faults.iter().any(|fault| fault["code"] == *code) {
        return false;
    }
    let expected = faults.iter().filter(|fault| !fault["pointer"].is_null());
    let mut expected: Vec<(&str, Value)> =
        expected.map(|fault| (text(fault, "pointer"), json!(field_code(text(fault, "code"))))).collect();
    let errors = product["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut told: Vec<(&str, Value)> =
        errors.iter().map(|error| (text(error, "pointer"), error["code"].clone())).collect();
    let by_place = |a: &(&str, Value), b: &(&str, Value)| (a.0, a.1.as_str()).cmp(&(b.0, b.1.as_str()));
    expected.sort_by(by_place);
    told.sort_by(by_place);
    expected == told
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// What is wrong with a field that a refusal of that code points at.
fn field_code(code: &str) -> FieldCode {
    match code {
        "PRICE_NOT_FOUND" | "TAX_RATE_NOT_FOUND" => FieldCode::UnknownReference,
        _ => FieldCode::OutOfRange,
    }
}
