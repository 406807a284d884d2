//! The route table: every operation of the API, in one place. What is not here does not exist (404). Each
//! handler lives in the file that mirrors its URL.

pub mod catalog;
pub mod commands;
pub mod customers;
pub mod dead_letters;
pub mod history;
pub mod orders;
pub mod quotes;
pub mod search;
pub mod workflow_tasks;
pub mod worklist;

use crate::operation::{Body, Content, Kind, Operation, Precondition, Success, Tag, Who, page, schema};
use crate::render::{AcceptedQuote, ChangedOrder, CompletedTask};
use crate::submit::PendingCommand;
use cpq_domain::command::Role;
use cpq_domain::order::view::OrderView;
use cpq_domain::quote::diff::RevisionDiff;
use cpq_domain::quote::view::{ArtifactView, PriceView, QuoteView, TaskView};
use cpq_domain::rejection::ErrorCode as E;
use http::Method;

const SALES: Who = Who::Roles(&[Role::SalesRep]);
const APPROVERS: Who = Who::Roles(&[Role::Approver]);
const ORDER_MANAGERS: Who = Who::Roles(&[Role::OrderManager]);
const CATALOG_ADMINS: Who = Who::Roles(&[Role::CatalogAdmin]);
const OPERATORS: Who = Who::Roles(&[Role::Operator]);
const OPERATORS_AND_AUDITORS: Who = Who::Roles(&[Role::Operator, Role::Auditor]);

/// A command with a body; If-Match is honoured where it is sent.
const fn command(body: &'static crate::form::Object) -> Kind {
    Kind::Command { body: Body::Required(body), if_match: Precondition::Honoured }
}

/// A command that needs If-Match.
const fn guarded(body: &'static crate::form::Object) -> Kind {
    Kind::Command { body: Body::Required(body), if_match: Precondition::Required }
}

/// A command that says everything by its path.
const fn bare() -> Kind {
    Kind::Command { body: Body::Optional(&workflow_tasks::NOTHING), if_match: Precondition::Honoured }
}

/// An answer about one quote or order.
const fn about(status: u16, describes: &'static str, of: crate::operation::SchemaOf) -> Success {
    Success { status, describes, content: Content::Json(of), etag: true, location: false }
}

/// An answer with a place of its own.
const fn made(describes: &'static str, of: crate::operation::SchemaOf) -> Success {
    Success { status: 201, describes, content: Content::Json(of), etag: true, location: true }
}

const fn other(status: u16, describes: &'static str, of: crate::operation::SchemaOf) -> Success {
    Success { status, describes, content: Content::Json(of), etag: false, location: false }
}

/// What every command may answer when the wait is over.
const PENDING: Success = Success {
    status: 202,
    describes: "Accepted; not decided within the wait. `Location` says where the outcome will be.",
    content: Content::Json(schema::<PendingCommand>),
    etag: false,
    location: true,
};

macro_rules! handler {
    ($handle:path) => {
        |call| Box::pin($handle(call))
    };
}

/// Every operation.
pub static OPERATIONS: &[Operation] = &[
    Operation {
        id: "createQuote",
        method: Method::POST,
        path: "/quotes",
        tag: Tag::Quotes,
        summary: "Create a quote",
        who: SALES,
        kind: command(&quotes::create::BODY),
        query: &[],
        success: &[made("The new quote, in DRAFT.", schema::<QuoteView>), PENDING],
        errors: &[E::CustomerAccessDenied],
        handler: handler!(quotes::create::handle),
    },
    Operation {
        id: "listQuotes",
        method: Method::GET,
        path: "/quotes",
        tag: Tag::Quotes,
        summary: "Search quotes",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &search::QUOTE_FILTERS,
        success: &[other(200, "A page of the workspace view, newest id first.", page::<quotes::list::QuoteSummary>)],
        errors: &[],
        handler: handler!(quotes::list::handle),
    },
    Operation {
        id: "getQuote",
        method: Method::GET,
        path: "/quotes/{quoteId}",
        tag: Tag::Quotes,
        summary: "Read a quote",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[],
        success: &[about(200, "The quote as it is now, with what the caller could do.", schema::<QuoteView>)],
        errors: &[E::QuoteNotFound],
        handler: handler!(quotes::get::handle),
    },
    Operation {
        id: "configureQuote",
        method: Method::PUT,
        path: "/quotes/{quoteId}/configuration",
        tag: Tag::Quotes,
        summary: "Say what the customer wants",
        who: SALES,
        kind: command(&quotes::configuration::BODY),
        query: &[],
        success: &[about(200, "The quote, CONFIGURED.", schema::<QuoteView>), PENDING],
        errors: CONFIGURING,
        handler: handler!(quotes::configuration::handle),
    },
    Operation {
        id: "checkConfiguration",
        method: Method::POST,
        path: "/quotes/{quoteId}/configuration-check",
        tag: Tag::Quotes,
        summary: "Ask what configuring would answer",
        who: SALES,
        kind: Kind::Check { body: &quotes::configuration::BODY },
        query: &[],
        success: &[about(
            200,
            "The quote as configuring would leave it, CONFIGURED; it stays at the revision of its ETag. A fault's `choices` would do instead.",
            schema::<QuoteView>,
        )],
        errors: CONFIGURING,
        handler: handler!(quotes::configuration_check::handle),
    },
    Operation {
        id: "priceQuote",
        method: Method::POST,
        path: "/quotes/{quoteId}/pricing",
        tag: Tag::Quotes,
        summary: "Price the configuration",
        who: SALES,
        kind: command(&quotes::pricing::BODY),
        query: &[],
        success: &[about(200, "The quote, PRICED.", schema::<QuoteView>), PENDING],
        errors: PRICING,
        handler: handler!(quotes::pricing::handle),
    },
    Operation {
        id: "previewPrice",
        method: Method::POST,
        path: "/quotes/{quoteId}/price-preview",
        tag: Tag::Quotes,
        summary: "Ask what pricing would answer",
        who: SALES,
        kind: Kind::Check { body: &quotes::pricing::BODY },
        query: &[],
        success: &[about(200, "The price, which is stored nowhere: `priceResultId` is null.", schema::<PriceView>)],
        errors: PRICING,
        handler: handler!(quotes::price_preview::handle),
    },
    Operation {
        id: "submitForApproval",
        method: Method::POST,
        path: "/quotes/{quoteId}/approval-submission",
        tag: Tag::Quotes,
        summary: "Submit for approval",
        who: SALES,
        kind: command(&quotes::approval_submission::BODY),
        query: &[],
        success: &[
            about(200, "The quote: APPROVED where nobody is needed, else waiting for approval.", schema::<QuoteView>),
            PENDING,
        ],
        errors: &[
            E::QuoteNotFound,
            E::QuoteRevisionStale,
            E::QuoteNotConfigured,
            E::QuoteNotPriced,
            E::PriceStale,
            E::QuoteNotEditable,
            E::QuoteAlreadyAccepted,
            E::QuoteExpired,
            E::QuoteWithdrawn,
        ],
        handler: handler!(quotes::approval_submission::handle),
    },
    Operation {
        id: "withdrawApproval",
        method: Method::POST,
        path: "/quotes/{quoteId}/approval-withdrawal",
        tag: Tag::Quotes,
        summary: "Take a submission back",
        who: SALES,
        kind: command(&quotes::approval_withdrawal::BODY),
        query: &[],
        success: &[about(200, "The quote, PRICED again.", schema::<QuoteView>), PENDING],
        errors: &[
            E::QuoteNotFound,
            E::QuoteRevisionStale,
            E::QuoteNotPendingApproval,
            E::QuoteAlreadyAccepted,
            E::QuoteExpired,
            E::QuoteWithdrawn,
        ],
        handler: handler!(quotes::approval_withdrawal::handle),
    },
    Operation {
        id: "decideApproval",
        method: Method::POST,
        path: "/quotes/{quoteId}/approval-decisions",
        tag: Tag::Quotes,
        summary: "Decide the caller's open step",
        who: APPROVERS,
        kind: command(&quotes::approval_decisions::BODY),
        query: &[],
        success: &[about(200, "The quote after the decision.", schema::<QuoteView>), PENDING],
        errors: DECISION,
        handler: handler!(quotes::approval_decisions::handle),
    },
    Operation {
        id: "generateArtifact",
        method: Method::POST,
        path: "/quotes/{quoteId}/artifacts",
        tag: Tag::Quotes,
        summary: "Make a document of the approved quote",
        who: SALES,
        kind: command(&quotes::artifacts::BODY),
        query: &[],
        success: &[
            made("The new artifact.", schema::<ArtifactView>),
            about(200, "The artifact that was there for this revision and template.", schema::<ArtifactView>),
            PENDING,
        ],
        errors: &[
            E::QuoteNotFound,
            E::QuoteRevisionStale,
            E::QuoteNotApproved,
            E::QuoteAlreadyAccepted,
            E::QuoteExpired,
            E::QuoteWithdrawn,
        ],
        handler: handler!(quotes::artifacts::generate),
    },
    Operation {
        id: "getArtifact",
        method: Method::GET,
        path: "/quotes/{quoteId}/artifacts/{artifactId}",
        tag: Tag::Quotes,
        summary: "Read an artifact's metadata",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[],
        success: &[about(200, "The artifact.", schema::<ArtifactView>)],
        errors: &[E::QuoteNotFound, E::ArtifactNotFound],
        handler: handler!(quotes::artifacts::get),
    },
    Operation {
        id: "getArtifactContent",
        method: Method::GET,
        path: "/quotes/{quoteId}/artifacts/{artifactId}/content",
        tag: Tag::Quotes,
        summary: "Read an artifact's document",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[],
        success: &[Success {
            status: 200,
            describes: "The document, whose SHA-256 is the artifact's `contentHash`.",
            content: Content::Pdf,
            etag: true,
            location: false,
        }],
        errors: &[E::QuoteNotFound, E::ArtifactNotFound],
        handler: handler!(quotes::artifacts::content),
    },
    Operation {
        id: "acceptQuote",
        method: Method::POST,
        path: "/quotes/{quoteId}/acceptance",
        tag: Tag::Quotes,
        summary: "Accept exactly this revision",
        who: Who::Roles(&[Role::SalesRep, Role::Customer]),
        kind: guarded(&quotes::acceptance::BODY),
        query: &[],
        success: &[about(202, "Accepted; the order is being created.", schema::<AcceptedQuote>), PENDING],
        errors: &[
            E::QuoteNotFound,
            E::QuoteRevisionStale,
            E::QuoteNotApproved,
            E::PriceStale,
            E::ArtifactMismatch,
            E::QuoteAlreadyAccepted,
            E::QuoteExpired,
            E::QuoteWithdrawn,
        ],
        handler: handler!(quotes::acceptance::handle),
    },
    Operation {
        id: "reopenQuote",
        method: Method::POST,
        path: "/quotes/{quoteId}/revision",
        tag: Tag::Quotes,
        summary: "Open an approved or rejected offer again",
        who: SALES,
        kind: command(&quotes::revision::BODY),
        query: &[],
        success: &[about(200, "The quote, CONFIGURED.", schema::<QuoteView>), PENDING],
        errors: &[
            E::QuoteNotFound,
            E::QuoteRevisionStale,
            E::QuoteNotEditable,
            E::QuoteAlreadyAccepted,
            E::QuoteExpired,
            E::QuoteWithdrawn,
        ],
        handler: handler!(quotes::revision::handle),
    },
    Operation {
        id: "cloneQuote",
        method: Method::POST,
        path: "/quotes/{quoteId}/clone",
        tag: Tag::Quotes,
        summary: "Make a new quote from this one",
        who: SALES,
        kind: command(&quotes::clone::BODY),
        query: &[],
        success: &[
            made("The new quote: CONFIGURED, or DRAFT where this one has no lines.", schema::<QuoteView>),
            PENDING,
        ],
        errors: &[E::QuoteNotFound, E::QuoteRevisionStale],
        handler: handler!(quotes::clone::handle),
    },
    Operation {
        id: "withdrawQuote",
        method: Method::POST,
        path: "/quotes/{quoteId}/withdrawal",
        tag: Tag::Quotes,
        summary: "Take the quote back",
        who: SALES,
        kind: command(&quotes::withdrawal::BODY),
        query: &[],
        success: &[about(200, "The quote, WITHDRAWN.", schema::<QuoteView>), PENDING],
        errors: &[E::QuoteNotFound, E::QuoteRevisionStale, E::QuoteAlreadyAccepted, E::QuoteExpired, E::QuoteWithdrawn],
        handler: handler!(quotes::withdrawal::handle),
    },
    Operation {
        id: "getPriceTrace",
        method: Method::GET,
        path: "/quotes/{quoteId}/price-trace",
        tag: Tag::Quotes,
        summary: "Why this price",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[],
        success: &[about(200, "Every step of the current price.", schema::<quotes::price_trace::PriceTraceView>)],
        errors: &[E::QuoteNotFound, E::QuoteNotPriced],
        handler: handler!(quotes::price_trace::handle),
    },
    Operation {
        id: "getQuoteHistory",
        method: Method::GET,
        path: "/quotes/{quoteId}/history",
        tag: Tag::Quotes,
        summary: "Every transition of a quote",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[search::LIMIT, search::CURSOR],
        success: &[about(200, "A page of transitions, oldest first.", page::<history::Transition>)],
        errors: &[E::QuoteNotFound],
        handler: handler!(quotes::history::handle),
    },
    Operation {
        id: "explainQuote",
        method: Method::GET,
        path: "/quotes/{quoteId}/explanation",
        tag: Tag::Quotes,
        summary: "The whole story with its evidence chain",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[],
        success: &[about(200, "The story and the chain.", schema::<quotes::explanation::Explanation>)],
        errors: &[E::QuoteNotFound],
        handler: handler!(quotes::explanation::handle),
    },
    Operation {
        id: "diffQuoteRevisions",
        method: Method::GET,
        path: "/quotes/{quoteId}/revisions/{a}/diff/{b}",
        tag: Tag::Quotes,
        summary: "What changed between two revisions",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[],
        success: &[about(
            200,
            "What changed from revision a to revision b, each as it was at its end; either may be the older. The ETag is the current revision.",
            schema::<RevisionDiff>,
        )],
        errors: &[E::QuoteNotFound, E::ValidationFailed],
        handler: handler!(quotes::revision_diff::handle),
    },
    Operation {
        id: "createOrder",
        method: Method::POST,
        path: "/orders",
        tag: Tag::Orders,
        summary: "Ask for the order of an accepted quote",
        who: ORDER_MANAGERS,
        kind: command(&orders::create::BODY),
        query: &[],
        success: &[
            made("The order.", schema::<OrderView>),
            about(200, "The order that was there; never a second.", schema::<OrderView>),
            PENDING,
        ],
        errors: &[E::QuoteNotFound, E::QuoteRevisionStale, E::QuoteNotAccepted],
        handler: handler!(orders::create::handle),
    },
    Operation {
        id: "listOrders",
        method: Method::GET,
        path: "/orders",
        tag: Tag::Orders,
        summary: "Search orders",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &search::ORDER_FILTERS,
        success: &[other(200, "A page of the operations view, newest id first.", page::<orders::list::OrderSummary>)],
        errors: &[],
        handler: handler!(orders::list::handle),
    },
    Operation {
        id: "getOrder",
        method: Method::GET,
        path: "/orders/{orderId}",
        tag: Tag::Orders,
        summary: "Read an order",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[],
        success: &[about(200, "The order as it is now; billing can bill from it alone.", schema::<OrderView>)],
        errors: &[E::OrderNotFound],
        handler: handler!(orders::get::handle),
    },
    Operation {
        id: "cancelOrder",
        method: Method::POST,
        path: "/orders/{orderId}/cancellation",
        tag: Tag::Orders,
        summary: "Cancel an order",
        who: ORDER_MANAGERS,
        kind: guarded(&orders::cancellation::BODY),
        query: &[],
        success: &[about(202, "Requested; what was done is being undone.", schema::<ChangedOrder>), PENDING],
        errors: &[E::OrderNotFound, E::OrderRevisionStale, E::OrderPastPointOfNoReturn, E::OrderNotCancellable],
        handler: handler!(orders::cancellation::handle),
    },
    Operation {
        id: "getOrderHistory",
        method: Method::GET,
        path: "/orders/{orderId}/history",
        tag: Tag::Orders,
        summary: "Every transition of an order",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[search::LIMIT, search::CURSOR],
        success: &[about(200, "A page of transitions, oldest first.", page::<history::Transition>)],
        errors: &[E::OrderNotFound],
        handler: handler!(orders::history::handle),
    },
    Operation {
        id: "listTasks",
        method: Method::GET,
        path: "/worklist/tasks",
        tag: Tag::Tasks,
        summary: "What waits for the caller",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &worklist::tasks::FILTERS,
        success: &[other(200, "A page of the worklist view.", page::<TaskView>)],
        errors: &[],
        handler: handler!(worklist::tasks::handle),
    },
    Operation {
        id: "claimTask",
        method: Method::POST,
        path: "/workflow-tasks/{taskId}/claim",
        tag: Tag::Tasks,
        summary: "Claim a task",
        who: APPROVERS,
        kind: bare(),
        query: &[],
        success: &[about(200, "The task, claimed by the caller.", schema::<TaskView>), PENDING],
        errors: DECISION,
        handler: handler!(workflow_tasks::claim::handle),
    },
    Operation {
        id: "unclaimTask",
        method: Method::POST,
        path: "/workflow-tasks/{taskId}/unclaim",
        tag: Tag::Tasks,
        summary: "Give a claimed task back",
        who: APPROVERS,
        kind: bare(),
        query: &[],
        success: &[about(200, "The task, open again.", schema::<TaskView>), PENDING],
        errors: DECISION,
        handler: handler!(workflow_tasks::unclaim::handle),
    },
    Operation {
        id: "completeTask",
        method: Method::POST,
        path: "/workflow-tasks/{taskId}/completion",
        tag: Tag::Tasks,
        summary: "Decide the step of a task",
        who: APPROVERS,
        kind: command(&workflow_tasks::completion::BODY),
        query: &[],
        success: &[
            about(200, "The task's status, and the quote after the decision.", schema::<CompletedTask>),
            PENDING,
        ],
        errors: DECISION,
        handler: handler!(workflow_tasks::completion::handle),
    },
    Operation {
        id: "getCustomerTimeline",
        method: Method::GET,
        path: "/customers/{customerAccountId}/timeline",
        tag: Tag::Customers,
        summary: "A customer's commercial timeline",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[search::LIMIT, search::CURSOR],
        success: &[other(
            200,
            "A page of the timeline view, newest first.",
            page::<customers::timeline::TimelineEntry>,
        )],
        errors: &[E::CustomerNotFound],
        handler: handler!(customers::timeline::handle),
    },
    Operation {
        id: "publishCatalogVersion",
        method: Method::POST,
        path: "/catalog/versions",
        tag: Tag::Catalog,
        summary: "Publish a catalog version, which never changes",
        who: CATALOG_ADMINS,
        kind: Kind::Document(&catalog::versions::DOCUMENT),
        query: &[],
        success: &[
            other(201, "The new version, which is the newest now.", schema::<catalog::versions::CatalogVersion>),
            other(
                200,
                "The version that was there with the same content.",
                schema::<catalog::versions::CatalogVersion>,
            ),
        ],
        errors: &[E::CatalogVersionExists, E::CatalogInvalid],
        handler: handler!(catalog::versions::publish),
    },
    Operation {
        id: "listOfferings",
        method: Method::GET,
        path: "/catalog/offerings",
        tag: Tag::Catalog,
        summary: "What is on sale",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &catalog::offerings::LIST_FILTERS,
        success: &[other(
            200,
            "A page of offerings by id, each in its newest version on sale.",
            page::<catalog::offerings::OfferingView>,
        )],
        errors: &[],
        handler: handler!(catalog::offerings::list),
    },
    Operation {
        id: "getOffering",
        method: Method::GET,
        path: "/catalog/offerings/{offeringId}",
        tag: Tag::Catalog,
        summary: "Read an offering",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &catalog::offerings::GET_FILTERS,
        success: &[other(200, "The offering.", schema::<catalog::offerings::OfferingView>)],
        errors: &[E::OfferingNotFound],
        handler: handler!(catalog::offerings::get),
    },
    Operation {
        id: "getCommand",
        method: Method::GET,
        path: "/commands/{commandId}",
        tag: Tag::Commands,
        summary: "What became of a command",
        who: Who::AnyRole,
        kind: Kind::Read,
        query: &[],
        success: &[other(200, "The command with its outcome.", schema::<commands::get::CommandView>)],
        errors: &[E::CommandNotFound],
        handler: handler!(commands::get::handle),
    },
    Operation {
        id: "listDeadLetters",
        method: Method::GET,
        path: "/dead-letters",
        tag: Tag::DeadLetters,
        summary: "What could not be applied",
        who: OPERATORS_AND_AUDITORS,
        kind: Kind::Read,
        query: &dead_letters::list::FILTERS,
        success: &[other(200, "A page of the parked keys, oldest first.", page::<dead_letters::view::DeadLetterView>)],
        errors: &[],
        handler: handler!(dead_letters::list::handle),
    },
    Operation {
        id: "getDeadLetter",
        method: Method::GET,
        path: "/dead-letters/{deadLetterId}",
        tag: Tag::DeadLetters,
        summary: "Read a dead letter",
        who: OPERATORS_AND_AUDITORS,
        kind: Kind::Read,
        query: &[],
        success: &[other(
            200,
            "What waits, and what was done with it; also once it is released.",
            schema::<dead_letters::view::DeadLetterDetail>,
        )],
        errors: &[E::DeadLetterNotFound],
        handler: handler!(dead_letters::get::handle),
    },
    Operation {
        id: "redriveDeadLetter",
        method: Method::POST,
        path: "/dead-letters/{deadLetterId}/redrive",
        tag: Tag::DeadLetters,
        summary: "Apply it again, and release what waits behind it",
        who: OPERATORS,
        kind: command(&dead_letters::act::BODY),
        query: &dead_letters::act::QUERY,
        success: LETTING_GO,
        errors: &[E::DeadLetterNotFound, E::DeadLetterBusy, E::DeadLetterNeedsForce],
        handler: handler!(dead_letters::act::redrive),
    },
    Operation {
        id: "discardDeadLetter",
        method: Method::POST,
        path: "/dead-letters/{deadLetterId}/discard",
        tag: Tag::DeadLetters,
        summary: "Give its first record up, and release what waits behind it",
        who: OPERATORS,
        kind: command(&dead_letters::act::BODY),
        query: &dead_letters::act::QUERY,
        success: LETTING_GO,
        errors: &[E::DeadLetterNotFound, E::DeadLetterBusy, E::DeadLetterNeedsForce, E::DeadLetterNotDiscardable],
        handler: handler!(dead_letters::act::discard),
    },
];

/// What acting on a dead letter answers.
const LETTING_GO: &[Success] = &[
    Success {
        status: 202,
        describes: "The consumer that parked it is at it; `Location` tells how far.",
        content: Content::Json(schema::<dead_letters::act::DeadLetterResult>),
        etag: false,
        location: true,
    },
    other(200, "Nothing of it is parked any more.", schema::<dead_letters::act::DeadLetterResult>),
    other(200, "What it would mean; nothing was changed.", schema::<dead_letters::act::DeadLetterResult>),
];

/// What configuring may answer, asked or sent.
const CONFIGURING: &[E] = &[
    E::QuoteNotFound,
    E::QuoteRevisionStale,
    E::QuoteNotEditable,
    E::QuoteAlreadyAccepted,
    E::QuoteExpired,
    E::QuoteWithdrawn,
    E::ConfigurationInvalid,
    E::OfferingNotVisible,
];

/// What pricing may answer, asked or sent.
const PRICING: &[E] = &[
    E::QuoteNotFound,
    E::QuoteRevisionStale,
    E::QuoteNotConfigured,
    E::QuoteNotEditable,
    E::QuoteAlreadyAccepted,
    E::QuoteExpired,
    E::QuoteWithdrawn,
    E::PriceNotFound,
    E::TaxRateNotFound,
    E::AmountOutOfRange,
];

/// What a decision about an approval step may answer.
const DECISION: &[E] = &[
    E::NotEligibleApprover,
    E::FourEyesViolation,
    E::ApprovalAuthorityExceeded,
    E::QuoteNotFound,
    E::TaskNotFound,
    E::QuoteRevisionStale,
    E::QuoteNotPendingApproval,
    E::TaskAlreadyCompleted,
    E::TaskClaimed,
    E::QuoteAlreadyAccepted,
    E::QuoteExpired,
    E::QuoteWithdrawn,
];
