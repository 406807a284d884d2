//! What each system has done and under which key: the simulators' truth. Bounded, and written to the journal before
//! it counts. Leaves HTTP to the API.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use serde::Serialize;
use time::OffsetDateTime;

pub use crate::journal::JournalError;
use crate::journal::{Entry, Journal};
use crate::resource::{CreateRequest, Resource};
use crate::system::System;

/// The most resources that one system remembers. A full system refuses rather than forget a key, since a forgotten
/// key would let one effect happen twice.
pub const MAX_RESOURCES: usize = 100_000;

/// How a creation ended.
#[derive(Debug)]
pub enum Created {
    /// A new resource stands.
    New(Resource),
    /// The key was known with the same body: the first answer again.
    Replayed(Resource),
    /// The key was known with another body.
    KeyReused,
    /// [`MAX_RESOURCES`] are remembered.
    Full,
    /// The journal could not be written: nothing happened.
    NotStored(io::Error),
}

/// One effect on one step of an order, and how often it happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// Whose order.
    pub tenant_id: String,
    /// The order.
    pub order_id: String,
    /// Its line.
    pub line_number: String,
    /// The step.
    pub step_id: String,
    /// What was done: the status that it led to.
    pub effect: String,
    /// How often: more than once is what idempotency is to prevent.
    pub count: usize,
    /// Each time.
    pub occurrences: Vec<Occurrence>,
}

/// One time that an effect happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurrence {
    /// The resource.
    pub id: String,
    /// The key it was created under.
    pub idempotency_key: String,
    /// The creating request's correlation id.
    pub correlation_id: Option<String>,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

#[derive(Default)]
struct Book {
    resources: Vec<Resource>,
    by_id: HashMap<String, usize>,
    by_key: HashMap<String, usize>,
    by_order: BTreeMap<String, Vec<usize>>,
}

impl Book {
    fn insert(&mut self, resource: Resource) {
        let index = self.resources.len();
        self.by_id.insert(resource.id.clone(), index);
        self.by_key.insert(resource.idempotency_key.clone(), index);
        self.by_order.entry(resource.request.order_id.clone()).or_default().push(index);
        self.resources.push(resource);
    }

    fn get(&self, index: Option<&usize>) -> Option<&Resource> {
        index.and_then(|index| self.resources.get(*index))
    }

    fn undo(&mut self, id: &str, status: &str, at: OffsetDateTime) -> Option<&Resource> {
        let resource = self.by_id.get(id).and_then(|index| self.resources.get_mut(*index))?;
        resource.status = status.to_owned();
        resource.compensated_at = Some(at);
        Some(resource)
    }
}

/// The books of all systems and the file behind them.
#[derive(Default)]
pub struct Ledger {
    inventory: Book,
    activation: Book,
    billing: Book,
    journal: Option<Journal>,
}

impl Ledger {
    /// A ledger that goes on from what the file holds.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (journal, entries) = Journal::open(path)?;
        let mut ledger = Self { journal: Some(journal), ..Self::default() };
        for (index, entry) in entries.into_iter().enumerate() {
            match entry {
                Entry::Created { system, resource } => ledger.book_mut(system).insert(*resource),
                Entry::Compensated { system, id, at } => {
                    let undone = ledger.book_mut(system).undo(&id, system.compensated_status(), at);
                    undone.ok_or_else(|| JournalError::Damaged {
                        path: path.to_owned(),
                        line: index + 1,
                        cause: format!("undoes {id}, which was never created"),
                    })?;
                }
            }
        }
        Ok(ledger)
    }

    fn book(&self, system: System) -> &Book {
        match system {
            System::Inventory => &self.inventory,
            System::Activation => &self.activation,
            System::Billing => &self.billing,
        }
    }

    fn book_mut(&mut self, system: System) -> &mut Book {
        match system {
            System::Inventory => &mut self.inventory,
            System::Activation => &mut self.activation,
            System::Billing => &mut self.billing,
        }
    }

    /// How many resources a system remembers.
    pub fn count(&self, system: System) -> usize {
        self.book(system).resources.len()
    }

    /// The resource created under a key.
    pub fn by_key(&self, system: System, key: &str) -> Option<&Resource> {
        let book = self.book(system);
        book.get(book.by_key.get(key))
    }

    /// The resource of an id.
    pub fn by_id(&self, system: System, id: &str) -> Option<&Resource> {
        let book = self.book(system);
        book.get(book.by_id.get(id))
    }

    /// Creates once per key.
    pub fn create(
        &mut self,
        system: System,
        key: &str,
        request: CreateRequest,
        correlation_id: Option<String>,
        now: OffsetDateTime,
    ) -> Created {
        if let Some(known) = self.by_key(system, key) {
            return if known.request == request {
                Created::Replayed(as_created(system, known))
            } else {
                Created::KeyReused
            };
        }
        if self.count(system) >= MAX_RESOURCES {
            return Created::Full;
        }
        let resource = Resource::new(system, key, request, correlation_id, now);
        if let Err(cause) = self.append(&Entry::Created { system, resource: Box::new(resource.clone()) }) {
            return Created::NotStored(cause);
        }
        self.book_mut(system).insert(resource.clone());
        Created::New(resource)
    }

    /// Undoes a creation; undoing it again changes nothing. `None`: there is no such resource. An error: the journal
    /// could not be written, and nothing happened.
    pub fn compensate(&mut self, system: System, id: &str, now: OffsetDateTime) -> io::Result<Option<Resource>> {
        match self.by_id(system, id) {
            None => return Ok(None),
            Some(resource) if resource.compensated_at.is_some() => return Ok(Some(resource.clone())),
            Some(_) => {}
        }
        self.append(&Entry::Compensated { system, id: id.to_owned(), at: now })?;
        Ok(self.book_mut(system).undo(id, system.compensated_status(), now).cloned())
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.append(entry))
    }

    /// Every effect of an order, or of all orders, grouped by step, with how often it happened.
    pub fn effects(&self, system: System, order_id: Option<&str>) -> Vec<Effect> {
        let book = self.book(system);
        let of_order = order_id.map(|order| book.by_order.get(order).map_or(&[][..], Vec::as_slice));
        let chosen: Vec<&Resource> = match of_order {
            Some(indexes) => indexes.iter().filter_map(|index| book.resources.get(*index)).collect(),
            None => book.resources.iter().collect(),
        };
        let mut grouped: BTreeMap<(&str, &str, &str, &str, &str), Vec<Occurrence>> = BTreeMap::new();
        for resource in chosen {
            let created = Some((system.created_status(), resource.created_at));
            let undone = resource.compensated_at.map(|at| (system.compensated_status(), at));
            for (effect, at) in created.into_iter().chain(undone) {
                let CreateRequest { tenant_id, order_id, line_number, step_id, .. } = &resource.request;
                grouped.entry((tenant_id, order_id, line_number, step_id, effect)).or_default().push(Occurrence {
                    id: resource.id.clone(),
                    idempotency_key: resource.idempotency_key.clone(),
                    correlation_id: resource.correlation_id.clone(),
                    at,
                });
            }
        }
        grouped.into_iter().map(|(of, occurrences)| effect_of(of, occurrences)).collect()
    }
}

fn effect_of(
    (tenant_id, order_id, line_number, step_id, effect): (&str, &str, &str, &str, &str),
    occurrences: Vec<Occurrence>,
) -> Effect {
    Effect {
        tenant_id: tenant_id.to_owned(),
        order_id: order_id.to_owned(),
        line_number: line_number.to_owned(),
        step_id: step_id.to_owned(),
        effect: effect.to_owned(),
        count: occurrences.len(),
        occurrences,
    }
}

/// The answer to the creation, whatever happened to the resource since: a repeat gets what the first one got.
fn as_created(system: System, known: &Resource) -> Resource {
    Resource { status: system.created_status().to_owned(), compensated_at: None, ..known.clone() }
}
