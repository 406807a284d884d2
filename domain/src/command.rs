//! What every command carries besides its own words: who asks, in which tenant, on what precondition.

use crate::ids::{ActorId, CommandId, CorrelationId, CustomerAccountId, TenantId};
use crate::moment::Moment;
use crate::rejection::{ErrorCode, Rejection};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The contract's roles (claim `roles`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    SalesRep,
    Approver,
    Customer,
    OrderManager,
    Operator,
    CatalogAdmin,
    Auditor,
}

impl Role {
    pub const ALL: [Role; 7] = [
        Role::SalesRep,
        Role::Approver,
        Role::Customer,
        Role::OrderManager,
        Role::Operator,
        Role::CatalogAdmin,
        Role::Auditor,
    ];
    pub fn as_str(self) -> &'static str {
        match self {
            Role::SalesRep => "sales-rep",
            Role::Approver => "approver",
            Role::Customer => "customer",
            Role::OrderManager => "order-manager",
            Role::Operator => "operator",
            Role::CatalogAdmin => "catalog-admin",
            Role::Auditor => "auditor",
        }
    }
    /// The role of that name; roles that this product does not know mean nothing here.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a person or a system acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActorType {
    User,
    System,
}

impl ActorType {
    pub fn as_str(self) -> &'static str {
        match self {
            ActorType::User => "USER",
            ActorType::System => "SYSTEM",
        }
    }
}

/// Who acts, as events name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    pub actor_id: ActorId,
    pub actor_type: ActorType,
}

/// The account entry that stands for every account of the tenant.
pub const ANY_ACCOUNT: &str = "*";

/// The claims of the token at the moment the command came in. `decide` authorizes against this snapshot
/// and the object, never against a token of a later moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    pub actor_id: ActorId,
    pub actor_type: ActorType,
    pub roles: Vec<Role>,
    /// Account ids, or `["*"]`. Empty means none.
    pub customer_accounts: Vec<String>,
}

impl Claims {
    /// One of our own processes, acting on a command or event that was authorized before.
    pub fn system(process: &str) -> Self {
        Self {
            actor_id: ActorId::new(process),
            actor_type: ActorType::System,
            roles: Vec::new(),
            customer_accounts: vec![ANY_ACCOUNT.to_owned()],
        }
    }
    pub fn actor(&self) -> Actor {
        Actor { actor_id: self.actor_id.clone(), actor_type: self.actor_type }
    }
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
    pub fn may_access(&self, account: &CustomerAccountId) -> bool {
        self.customer_accounts.iter().any(|a| a == ANY_ACCOUNT || a == account.as_str())
    }
}

/// The `If-Match` precondition (RFC 9110 section 13.1.1), already parsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", tag = "kind", content = "revisions")]
pub enum IfMatch {
    /// `*`: any current state.
    Any,
    /// Strong tags that are revisions; weak or unquoted tags never match and are left out.
    Revisions(Vec<u32>),
}

/// The envelope of a command, from the gateway or from one of our own processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandMeta {
    pub command_id: CommandId,
    pub tenant_id: TenantId,
    pub claims: Claims,
    pub correlation_id: CorrelationId,
    /// What caused it: an event id, or another command's id; `None` for a command from outside.
    pub causation_id: Option<String>,
    pub received_at: Moment,
    pub if_match: Option<IfMatch>,
    /// W3C trace context, carried through.
    pub traceparent: Option<String>,
}

impl CommandMeta {
    /// Judges `If-Match` against the object's revision (412).
    pub fn check_precondition(&self, what: &str, revision: u32) -> Result<(), Rejection> {
        match &self.if_match {
            None | Some(IfMatch::Any) => Ok(()),
            Some(IfMatch::Revisions(tags)) if tags.contains(&revision) => Ok(()),
            Some(IfMatch::Revisions(_)) => Err(Rejection::new(
                ErrorCode::PreconditionFailed,
                format!(
                    "If-Match does not name the current revision of {what}, which is \"{revision}\": read it again and send its ETag."
                ),
            )),
        }
    }
}

/// What a command that was not refused has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<E, F> {
    /// The command took effect: these events happened, in order. Without events it found its effect
    /// already there.
    Applied { events: Vec<E>, outcome: Applied },
    /// The command is right, but its answer rests on work elsewhere: `follow_up` asks for it, and the outcome
    /// of the command on the same aggregate that `settles` this subject becomes this command's outcome.
    Deferred { follow_up: Vec<F>, subject: String },
}

/// The part of an outcome that the response needs besides the aggregate's revision.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// Whether the command made something that was not there before (201 rather than 200).
    pub created: bool,
    /// The part of the aggregate that the response is about: an artifact's, order's or task's id.
    pub subject: Option<String>,
}

impl Applied {
    pub fn created(subject: impl Into<String>) -> Self {
        Self { created: true, subject: Some(subject.into()) }
    }
    pub fn about(subject: impl Into<String>) -> Self {
        Self { created: false, subject: Some(subject.into()) }
    }
}
