//! The simulators as a real process that is killed: with a state file it remembers, and a damaged file is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

/// A file that is removed with the test.
struct StateFile(PathBuf);

impl StateFile {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.jsonl", std::process::id()));
        std::fs::remove_file(&path).ok();
        Self(path)
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

struct Process {
    child: Child,
    base: String,
}

impl Process {
    fn spawn(state: &StateFile) -> Child {
        Command::new(env!("CARGO_BIN_EXE_simulators"))
            .env("CPQ_SIMULATORS_ADDR", "127.0.0.1:0")
            .env("CPQ_SIMULATORS_STATE", &state.0)
            .env("RUST_LOG", "info")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Starts the process and reads from its log where it listens.
    fn start(state: &StateFile) -> Self {
        let mut child = Self::spawn(state);
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let base = loop {
            let record: Value = serde_json::from_str(&log.next().unwrap().unwrap()).unwrap();
            if record["message"] == "simulators listen" {
                break format!("http://{}", record["addr"].as_str().unwrap());
            }
        };
        // Its log must be read on, or the process would wait for it in the end.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, base }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn order() -> Value {
    json!({
        "tenantId": "tenant-acme", "orderId": "O-1", "lineNumber": "1", "stepId": "1:RESERVE_INVENTORY",
        "productOfferingId": "fiber-1g", "quantity": "2",
        "id": "members that are", "status": "named as the answer's", "correlationId": "stay the request's"
    })
}

async fn create(base: &str, key: &str) -> (StatusCode, Value) {
    let request = Client::new().post(format!("{base}/inventory/reservations")).header("Idempotency-Key", key);
    let response = request.json(&order()).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_killed_simulator_remembers_its_keys_and_compensations() {
    let state = StateFile::new("remembers");
    let process = Process::start(&state);
    let (status, created) = create(&process.base, "k1").await;
    assert_eq!(status, StatusCode::CREATED);
    let (_, other) = create(&process.base, "k2").await;
    let release = format!("{}/inventory/reservations/{}/release", process.base, other["id"].as_str().unwrap());
    let released: Value = Client::new().post(release).send().await.unwrap().json().await.unwrap();
    process.kill();

    let process = Process::start(&state);
    assert_eq!(create(&process.base, "k1").await, (StatusCode::OK, created));
    let asked = format!("{}/inventory/reservations?idempotencyKey=k2", process.base);
    let found: Value = reqwest::get(asked).await.unwrap().json().await.unwrap();
    assert_eq!(found, json!([released]));
    process.kill();
}

#[tokio::test]
async fn a_line_that_was_not_written_whole_is_cut_off_and_the_rest_is_kept() {
    let state = StateFile::new("torn");
    let process = Process::start(&state);
    let (_, created) = create(&process.base, "k1").await;
    process.kill();
    let mut file = std::fs::OpenOptions::new().append(true).open(&state.0).unwrap();
    file.write_all(br#"{"entry":"CREATED","system":"inv"#).unwrap();

    let process = Process::start(&state);
    assert_eq!(create(&process.base, "k1").await, (StatusCode::OK, created));
    assert_eq!(create(&process.base, "k2").await.0, StatusCode::CREATED);
    process.kill();
    let process = Process::start(&state);
    assert_eq!(create(&process.base, "k2").await.0, StatusCode::OK);
    process.kill();
}

#[tokio::test]
async fn a_damaged_state_file_is_refused_with_its_line() {
    let state = StateFile::new("damaged");
    std::fs::write(&state.0, "not an entry\n").unwrap();
    let output = Process::spawn(&state).wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("line 1"));
}
