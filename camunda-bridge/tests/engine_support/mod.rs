//! A stage for the models on the real engine: they are deployed under names of their own, so that neither a
//! running bridge nor another test takes their tasks.
#![allow(dead_code)]

use camunda_bridge::engine::{
    BpmnError, Completion, EngineClient, EngineConfig, ExternalTask, FetchAndLock, Message, MessageTarget, Resource,
    StartProcess, TopicSubscription, UserTask, UserTaskQuery, Variables, WorkerId,
};
use std::sync::Mutex;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

const APPROVAL: &str = include_str!("../../models/quote-approval.bpmn");
const FULFILMENT: &str = include_str!("../../models/order-fulfillment.bpmn");
/// How long anything may take that the engine does by itself.
const PATIENCE: Duration = Duration::from_secs(20);
const LOCK: Duration = Duration::from_secs(60);

/// The engine of the test stack. Without one the test fails: it is never skipped.
pub fn engine_url() -> url::Url {
    let url = std::env::var("CPQ_CAMUNDA_URL")
        .expect("CPQ_CAMUNDA_URL is not set: run through `make test` (or `source .stack/env`)");
    url.parse().expect("CPQ_CAMUNDA_URL is a URL")
}

pub fn client() -> EngineClient {
    EngineClient::new(EngineConfig::new(engine_url())).expect("a client")
}

pub struct Stage {
    pub engine: EngineClient,
    pub worker: WorkerId,
    prefix: String,
    deployments: Mutex<Vec<String>>,
}

impl Stage {
    pub async fn open() -> Self {
        let prefix = format!("t{}", Uuid::new_v4().simple());
        let models = [own(&prefix, "quote-approval", APPROVAL), own(&prefix, "order-fulfillment", FULFILMENT)];
        let engine = client();
        let deployment = engine.deploy(&prefix, &models).await.expect("the models deploy").id;
        Self { engine, worker: WorkerId::unique("test"), prefix, deployments: Mutex::new(vec![deployment]) }
    }

    /// Deploys a new version of a model, in which one text stands for another.
    pub async fn deploy_with(&self, name: &str, from: &str, to: &str) {
        let model = if name == "quote-approval" { APPROVAL } else { FULFILMENT };
        assert!(model.contains(from), "{name} does not say {from}");
        let resource = own(&self.prefix, name, &model.replace(from, to));
        let deployment = self.engine.deploy(&self.prefix, &[resource]).await.expect("the version deploys");
        assert_eq!(deployment.new_definitions().len(), 1);
        self.deployments.lock().unwrap().push(deployment.id);
    }

    /// Removes what this stage put into the engine.
    pub async fn close(self) {
        let until = std::time::Instant::now() + PATIENCE;
        for deployment in self.deployments.into_inner().unwrap() {
            // Instances that are just moving on are in its way.
            while let Err(error) = self.engine.delete_deployment(&deployment).await {
                assert!(error.is_transient() && std::time::Instant::now() < until, "the deployment stays: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    pub fn process(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub async fn start(&self, process: &str, variables: Variables) -> Run<'_> {
        let key = format!("{process}-{}", Uuid::new_v4().simple());
        let process_key = self.process(process);
        let start = StartProcess { process_key: &process_key, business_key: &key, variables };
        let instance = self.engine.start_process(&start).await.expect("the process starts");
        Run { stage: self, instance: instance.id, key }
    }

    pub async fn approval(&self, groups: i64) -> Run<'_> {
        self.start("quote-approval", Variables::new().with_long("groupCount", groups)).await
    }

    pub async fn fulfilment(&self, lines: i64) -> Run<'_> {
        self.start("order-fulfillment", Variables::new().with_long("lineCount", lines)).await
    }
}

/// One running instance.
pub struct Run<'a> {
    pub stage: &'a Stage,
    pub instance: String,
    pub key: String,
}

impl Run<'_> {
    pub fn engine(&self) -> &EngineClient {
        &self.stage.engine
    }

    pub async fn fetch(&self, topic: &str, wait: Duration) -> Vec<ExternalTask> {
        let names = ["fulfillmentStepId", "falloutCode", "falloutMessage", "lineIndex", "taskId", "level"];
        let mut subscription = TopicSubscription::new(self.stage.process(topic), LOCK, &names);
        subscription.business_key = Some(self.key.clone());
        let fetch = FetchAndLock { worker: &self.stage.worker, max_tasks: 100, wait, topics: vec![subscription] };
        self.engine().fetch_and_lock(&fetch).await.expect("a fetch")
    }

    /// The next task of the topic.
    pub async fn take(&self, topic: &str) -> ExternalTask {
        self.take_all(topic, 1).await.remove(0)
    }

    pub async fn take_all(&self, topic: &str, count: usize) -> Vec<ExternalTask> {
        let mut tasks = Vec::new();
        let until = std::time::Instant::now() + PATIENCE;
        while tasks.len() < count && std::time::Instant::now() < until {
            tasks.extend(self.fetch(topic, Duration::from_secs(2)).await);
        }
        assert_eq!(tasks.len(), count, "tasks of {topic}: {tasks:?}");
        tasks
    }

    pub async fn nothing_to_do(&self, topic: &str) {
        let tasks = self.fetch(topic, Duration::ZERO).await;
        assert!(tasks.is_empty(), "{topic} has {tasks:?}");
    }

    pub async fn complete(&self, task: &ExternalTask, variables: Variables) {
        let completion = Completion { variables, ..Completion::default() };
        self.engine().complete_external_task(&task.id, &self.stage.worker, &completion).await.expect("it completes");
    }

    pub async fn done(&self, topic: &str) -> ExternalTask {
        let task = self.take(topic).await;
        self.complete(&task, Variables::new()).await;
        task
    }

    pub async fn error(&self, task: &ExternalTask, code: &str) {
        let error = BpmnError { code, message: "the simulator said no", variables: Variables::new() };
        self.engine().handle_bpmn_error(&task.id, &self.stage.worker, &error).await.expect("the error is taken");
    }

    pub async fn message(&self, name: &str) -> Result<(), camunda_bridge::engine::EngineError> {
        self.engine()
            .correlate(&Message {
                name,
                target: MessageTarget::BusinessKey(&self.key),
                local_correlation_keys: Variables::new(),
                variables: Variables::new(),
            })
            .await
    }

    pub async fn resolve(&self, step: &str, resolution: &str) -> Result<(), camunda_bridge::engine::EngineError> {
        self.engine()
            .correlate(&Message {
                name: "FalloutResolved",
                target: MessageTarget::Instance(&self.instance),
                local_correlation_keys: text("fulfillmentStepId", step),
                variables: text("resolution", resolution),
            })
            .await
    }

    pub async fn open_tasks(&self) -> Vec<UserTask> {
        let query = UserTaskQuery { business_key: Some(&self.key), ..UserTaskQuery::default() };
        self.engine().user_tasks(&query).await.expect("the tasks")
    }

    pub async fn task(&self, level: &str) -> UserTask {
        let id = self.task_id(level);
        let query = UserTaskQuery { task_id: Some(&id), ..UserTaskQuery::default() };
        let mut tasks = self.engine().user_tasks(&query).await.expect("the task");
        assert_eq!(tasks.len(), 1, "{tasks:?}");
        tasks.remove(0)
    }

    pub fn task_id(&self, level: &str) -> String {
        format!("{}.{level}", self.key)
    }

    /// Opens the next group with these levels.
    pub async fn open_group(&self, levels: &[&str]) -> OffsetDateTime {
        let due = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap() + Duration::from_secs(24 * 3600);
        let mut variables = Variables::new().with_long("stepCount", levels.len() as i64);
        for (n, level) in levels.iter().enumerate() {
            let step = [
                ("taskId", self.task_id(level)),
                ("level", (*level).to_owned()),
                ("slaDuration", "PT24H".to_owned()),
                ("dueDate", due.format(&Rfc3339).unwrap()),
            ];
            for (name, value) in step {
                variables = variables.with_text(format!("{name}_{n}"), value).unwrap();
            }
        }
        let task = self.take("open-approval-group").await;
        self.complete(&task, variables).await;
        due
    }

    pub async fn decide(&self, level: &str, decision: &str) {
        let task = self.task(level).await;
        self.engine().complete_task(&task.id, &text("decision", decision)).await.expect("it completes");
    }

    /// Plans a line with these steps; their ids are `<line>-<step>`.
    pub async fn plan(&self, task: &ExternalTask, line: &str, steps: &[&str]) {
        let mut variables = text("lineNumber", line);
        let all = [
            ("reserve-inventory", "reserveInventory", "inventoryStepId"),
            ("activate-service", "activateService", "activationStepId"),
            ("start-billing", "startBilling", "billingStepId"),
        ];
        for (topic, flag, id) in all {
            variables = variables.with_boolean(flag, steps.contains(&topic));
            if steps.contains(&topic) {
                variables = variables.with_text(id, format!("{line}-{topic}")).unwrap();
            }
        }
        self.complete(task, variables).await;
    }

    /// Admits an instance of one line with these steps and brings it to the first of them.
    pub async fn planned(&self, steps: &[&str]) {
        self.done("admit").await;
        let line = self.take("plan-line").await;
        self.plan(&line, "1", steps).await;
        self.done("await-dependencies").await;
    }

    /// Waits until the instance has ended, and says at which end events.
    pub async fn ended_at(&self) -> Vec<String> {
        let until = std::time::Instant::now() + PATIENCE;
        while self.engine().process_instance(&self.instance).await.expect("an answer").is_some() {
            assert!(std::time::Instant::now() < until, "the instance still runs, in {:?}", self.reached().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut ends: Vec<String> = self.activities("EndEvent").await;
        ends.retain(|end| {
            !["step-approved", "group-approved", "line-fulfilled"].contains(&end.as_str()) && !end.ends_with("-settled")
        });
        ends
    }

    /// All activities that were reached, sorted.
    pub async fn reached(&self) -> Vec<String> {
        self.activities("").await
    }

    async fn activities(&self, kind: &str) -> Vec<String> {
        let url = format!("{}/history/activity-instance?processInstanceId={}", engine_url(), self.instance);
        let answer = reqwest::get(url).await.unwrap().json::<Vec<serde_json::Value>>().await.unwrap();
        let mut names: Vec<String> = answer
            .iter()
            .filter(|activity| activity["activityType"].as_str().unwrap().ends_with(kind))
            .map(|activity| activity["activityId"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }
}

/// A model whose names are the stage's own.
fn own(prefix: &str, name: &str, model: &str) -> Resource {
    Resource {
        name: format!("{name}.bpmn"),
        content: model
            .replace(&format!("\"{name}\""), &format!("\"{prefix}-{name}\""))
            .replace("camunda:topic=\"", &format!("camunda:topic=\"{prefix}-")),
    }
}

pub fn text(name: &str, value: &str) -> Variables {
    Variables::new().with_text(name, value).unwrap()
}
