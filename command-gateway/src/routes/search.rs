//! What the lists of quotes and orders have in common: their filters, and how they show money.

use crate::call::Call;
use crate::operation::Parameter;
use cpq_domain::money::{Amount, Currency, parse_plain};
use cpq_state_stores::reads::{Accounts, Search};

pub const LIMIT: Parameter =
    Parameter { name: "limit", describes: "Items of a page: 1 to 200, default 50.", choices: &[] };
pub const CURSOR: Parameter =
    Parameter { name: "cursor", describes: "The `nextCursor` of the page before.", choices: &[] };
const CUSTOMER: Parameter = Parameter { name: "customer", describes: "Of this customer account.", choices: &[] };
const OWNER: Parameter = Parameter { name: "owner", describes: "Of this sales owner.", choices: &[] };
const TEXT: Parameter = Parameter {
    name: "text",
    describes: "With this text in an id, the customer's name or the external reference, in any case.",
    choices: &[],
};

pub static QUOTE_FILTERS: [Parameter; 6] = [
    Parameter {
        name: "status",
        describes: "In this status.",
        choices: &[
            "DRAFT",
            "CONFIGURED",
            "PRICED",
            "PENDING_APPROVAL_WORKFLOW_START",
            "PENDING_APPROVAL",
            "APPROVED",
            "APPROVAL_REJECTED",
            "ACCEPTED_PENDING_ORDER_CREATION",
            "ACCEPTED",
            "EXPIRED",
            "WITHDRAWN",
        ],
    },
    CUSTOMER,
    OWNER,
    TEXT,
    LIMIT,
    CURSOR,
];

pub static ORDER_FILTERS: [Parameter; 6] = [
    Parameter {
        name: "status",
        describes: "In this status.",
        choices: &[
            "CREATED_PENDING_WORKFLOW_START",
            "IN_PROGRESS",
            "COMPLETED",
            "FALLOUT",
            "PENDING_CANCELLATION",
            "CANCELLED",
        ],
    },
    CUSTOMER,
    OWNER,
    TEXT,
    LIMIT,
    CURSOR,
];

/// The caller's search. One item more than the page has shows whether there is a next one.
pub fn of<'a>(call: &'a Call, accounts: &'a Accounts, before: Option<&'a str>, limit: usize) -> Search<'a> {
    Search {
        tenant: call.tenant(),
        accounts,
        status: call.query("status"),
        customer: call.query("customer"),
        owner: call.query("owner"),
        text: call.query("text").filter(|text| !text.is_empty()),
        before,
        limit: limit as i64 + 1,
    }
}

/// A stored amount with its currency's minor units.
pub fn money(text: &str, currency: &str) -> Option<Amount> {
    let mut value = parse_plain(text)?;
    value.rescale(Currency::parse(currency)?.minor_units());
    Some(Amount(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("29950.560000", "USD", "29950.56")]
    #[case("100.000000", "JPY", "100")]
    #[case("1.500000", "KWD", "1.500")]
    fn money_shows_its_currency_s_minor_units(#[case] stored: &str, #[case] currency: &str, #[case] shown: &str) {
        assert_eq!(money(stored, currency).unwrap().to_string(), shown);
    }
}
