//! The three downstream systems as a table: paths, words and refusal of each.
//! Leaves behaviour to the API, which is the same for all.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// A downstream system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Reserves stock and ports.
    Inventory,
    /// Activates services.
    Activation,
    /// Starts and ends billing.
    Billing,
}

impl System {
    /// All of them.
    pub const ALL: [System; 3] = [System::Inventory, System::Activation, System::Billing];

    /// First segment of its paths.
    pub const fn name(self) -> &'static str {
        match self {
            System::Inventory => "inventory",
            System::Activation => "activation",
            System::Billing => "billing",
        }
    }

    /// What it creates, as the collection in its paths.
    pub const fn collection(self) -> &'static str {
        match self {
            System::Inventory => "reservations",
            System::Activation => "services",
            System::Billing => "subscriptions",
        }
    }

    /// The verb that undoes a creation, as the last segment of its path.
    pub const fn compensation(self) -> &'static str {
        match self {
            System::Inventory => "release",
            System::Activation => "deactivate",
            System::Billing => "cancel",
        }
    }

    /// Prefix of its ids.
    pub const fn id_prefix(self) -> &'static str {
        match self {
            System::Inventory => "rsv",
            System::Activation => "svc",
            System::Billing => "sub",
        }
    }

    /// Status of a resource that stands; also the name of the effect of creating it.
    pub const fn created_status(self) -> &'static str {
        match self {
            System::Inventory => "RESERVED",
            System::Activation => "ACTIVE",
            System::Billing => "BILLING",
        }
    }

    /// Status of a resource that was undone; also the name of the effect of undoing it.
    pub const fn compensated_status(self) -> &'static str {
        match self {
            System::Inventory => "RELEASED",
            System::Activation => "DEACTIVATED",
            System::Billing => "CANCELLED",
        }
    }

    /// How it says no.
    pub const fn rejection(self) -> (StatusCode, &'static str) {
        match self {
            System::Inventory => (StatusCode::CONFLICT, "INVENTORY_NOT_AVAILABLE"),
            System::Activation => (StatusCode::UNPROCESSABLE_ENTITY, "ACTIVATION_REJECTED"),
            System::Billing => (StatusCode::UNPROCESSABLE_ENTITY, "BILLING_REJECTED"),
        }
    }
}
