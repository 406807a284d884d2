//! What an operation is: one row of the route table. The same row routes a request, judges it, and describes it
//! in the OpenAPI document.

use crate::call::Call;
use crate::form::Object;
use crate::problem::Problem;
use axum::response::Response;
use cpq_domain::command::Role;
use cpq_domain::moment::Moment;
use cpq_domain::rejection::ErrorCode;
use futures::future::BoxFuture;
use http::Method;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use utoipa::{PartialSchema as _, ToSchema};

/// An answer, or why there is none.
pub type Reply = Result<Response, Problem>;
pub type Handler = fn(Call) -> BoxFuture<'static, Reply>;

/// One operation of the API.
pub struct Operation {
    /// The OpenAPI operation id; also the scope of idempotency keys.
    pub id: &'static str,
    pub method: Method,
    pub path: &'static str,
    pub tag: Tag,
    pub summary: &'static str,
    pub who: Who,
    pub kind: Kind,
    pub query: &'static [Parameter],
    pub success: &'static [Success],
    /// Codes of its own, besides those that every operation of its kind may answer.
    pub errors: &'static [ErrorCode],
    pub handler: Handler,
}

/// Which document an operation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tag {
    Quotes,
    Orders,
    Tasks,
    Catalog,
    Customers,
    Commands,
    DeadLetters,
}

impl Tag {
    pub const ALL: [Self; 7] =
        [Self::Quotes, Self::Orders, Self::Tasks, Self::Catalog, Self::Customers, Self::Commands, Self::DeadLetters];

    pub fn name(self) -> &'static str {
        match self {
            Self::Quotes => "quotes",
            Self::Orders => "orders",
            Self::Tasks => "tasks",
            Self::Catalog => "catalog",
            Self::Customers => "customers",
            Self::Commands => "commands",
            Self::DeadLetters => "dead-letters",
        }
    }
    pub fn describes(self) -> &'static str {
        match self {
            Self::Quotes => "From a draft to an accepted quote.",
            Self::Orders => "What was sold, and how far its fulfilment is.",
            Self::Tasks => "What waits for a person.",
            Self::Catalog => "What is on sale.",
            Self::Customers => "What happened with a customer.",
            Self::Commands => "What became of a command.",
            Self::DeadLetters => "Records that could not be applied, and what waits behind them.",
        }
    }
}

/// Which roles may use an operation.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// Any role of the product: what its accounts allow.
    AnyRole,
    Roles(&'static [Role]),
}

/// What an operation does.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Needs an Idempotency-Key; goes to the processors.
    Command {
        body: Body,
        if_match: Precondition,
    },
    /// Answers what a command would, and changes nothing: no Idempotency-Key.
    Check {
        body: &'static Object,
    },
    /// Needs an Idempotency-Key; its handler checks the document and decides at once.
    Document(&'static Document),
    Read,
}

/// A document of reference data, which may be much larger than a command.
pub struct Document {
    pub schema: SchemaOf,
    /// One that is taken, as JSON text.
    pub example: &'static str,
    pub max_bytes: usize,
    /// Places for documents in hand at once: each costs several times its size in memory.
    pub places: Semaphore,
}

#[derive(Clone, Copy)]
pub enum Body {
    Required(&'static Object),
    /// May be left out; what is sent is checked all the same.
    Optional(&'static Object),
}

impl Body {
    pub fn object(self) -> &'static Object {
        match self {
            Self::Required(object) | Self::Optional(object) => object,
        }
    }
}

/// Whether If-Match must be sent. Where it is sent it is always honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    Required,
    Honoured,
}

/// A query parameter: text of at most [`MAX_PARAMETER`] characters.
pub struct Parameter {
    pub name: &'static str,
    pub describes: &'static str,
    /// The only values; empty: any.
    pub choices: &'static [&'static str],
}

/// Longest value of a query parameter in characters.
pub const MAX_PARAMETER: usize = 512;

/// A good answer.
pub struct Success {
    pub status: u16,
    pub describes: &'static str,
    pub content: Content,
    /// Whether it is about one quote or order and carries its revision as ETag.
    pub etag: bool,
    pub location: bool,
}

pub enum Content {
    Json(SchemaOf),
    Pdf,
}

/// Adds the schemas that a type needs, and gives a reference to its own.
pub type SchemaOf = fn(&mut Map<String, Value>) -> Value;

/// The schema of a type with a name. Two types of one name are a mistake that every test build finds.
pub fn schema<T: ToSchema>(components: &mut Map<String, Value>) -> Value {
    let mut needed = Vec::new();
    T::schemas(&mut needed);
    needed.push((T::name().into_owned(), T::schema()));
    for (name, schema) in needed {
        let schema = serde_json::to_value(schema).unwrap_or_default();
        debug_assert!(components.get(&name).is_none_or(|known| *known == schema), "two schemas are called {name}");
        components.entry(name).or_insert(schema);
    }
    serde_json::json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
}

/// The schema of a page of these items.
pub fn page<T: ToSchema>(components: &mut Map<String, Value>) -> Value {
    let items = schema::<T>(components);
    let as_of = Moment::schema();
    let name = format!("{}Page", T::name());
    let page = serde_json::json!({
        "type": "object",
        "required": ["items", "nextCursor", "asOf"],
        "properties": {
            "items": {"type": "array", "items": items},
            "nextCursor": {"type": ["string", "null"], "description": "Send it as `cursor` for what follows; null at the end."},
            "asOf": {"oneOf": [{"type": "null"}, as_of], "description": "How fresh the view is: the time of the newest event that it shows; null before the first."},
        },
    });
    components.insert(name.clone(), page);
    serde_json::json!({ "$ref": format!("#/components/schemas/{name}") })
}

impl Operation {
    /// Whether it changes something, and so needs an Idempotency-Key.
    pub fn is_idempotent(&self) -> bool {
        matches!(self.kind, Kind::Command { .. } | Kind::Document(_))
    }

    /// Every code that this operation may answer, in the contract's order.
    pub fn codes(&self) -> Vec<ErrorCode> {
        use ErrorCode as E;
        let mut codes = vec![
            E::Unauthenticated,
            E::Forbidden,
            E::RateLimited,
            E::HeadersTooLarge,
            E::Internal,
            E::TemporarilyUnavailable,
        ];
        if !self.query.is_empty() {
            codes.push(E::ValidationFailed);
        }
        if !matches!(self.kind, Kind::Read) {
            let of_bodies = [
                E::MalformedRequest,
                E::PreconditionFailed,
                E::BodyTooLarge,
                E::UnsupportedMediaType,
                E::ValidationFailed,
            ];
            codes.extend(of_bodies);
        }
        if self.is_idempotent() {
            codes.extend([E::IdempotencyKeyRequired, E::IdempotencyKeyReused]);
        }
        if let Kind::Command { if_match: Precondition::Required, .. } = self.kind {
            codes.push(E::IfMatchRequired);
        }
        codes.extend(self.errors);
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}
