//! How values that are text on the wire show in the OpenAPI document: a decimal is a string, never a number.

use crate::moment::Moment;
use crate::money::{Amount, Currency, Percent, Quantity};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

const PLAIN_DECIMAL: &str = r"^-?[0-9]+(\.[0-9]+)?$";

fn decimal(description: &str, example: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom("decimal".to_owned())))
        .pattern(Some(PLAIN_DECIMAL))
        .description(Some(description))
        .examples([serde_json::json!(example)])
        .into()
}

macro_rules! schema {
    ($type:ty, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema
            }
        }
        impl ToSchema for $type {}
    };
}

schema!(Amount, decimal("Money, with the currency's minor units.", "499.00"));
schema!(Quantity, decimal("A number of units, without trailing zeros: at most 13 digits and 6 decimals.", "2"));
schema!(Percent, decimal("A percentage.", "16.64"));
schema!(
    Currency,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[A-Z]{3}$"))
        .description(Some("An ISO 4217 currency that has minor units."))
        .examples([serde_json::json!("USD")])
        .into()
);
schema!(
    Moment,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
        .description(Some("An RFC 3339 instant, shown in UTC."))
        .into()
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::view::OrderView;
    use crate::quote::view::QuoteView;
    use std::collections::BTreeMap;

    /// The schemas that a type refers to, by name.
    fn schemas<T: ToSchema>() -> BTreeMap<String, serde_json::Value> {
        let mut found = Vec::new();
        T::schemas(&mut found);
        found.push((T::name().into_owned(), T::schema()));
        found.into_iter().map(|(name, schema)| (name, serde_json::json!(schema))).collect()
    }

    #[test]
    fn decimals_and_ids_are_strings() {
        let quote = schemas::<QuoteView>();
        for name in ["Amount", "Percent", "Quantity", "QuoteId", "Currency", "Moment"] {
            assert_eq!(quote[name]["type"], "string", "{name}");
        }
        assert_eq!(quote["Amount"]["format"], "decimal");
        assert_eq!(quote["Moment"]["format"], "date-time");
    }

    #[test]
    fn the_step_statuses_of_approval_and_fulfilment_have_names_of_their_own() {
        assert!(schemas::<QuoteView>().contains_key("ApprovalStepStatus"));
        assert!(schemas::<OrderView>().contains_key("FulfilmentStepStatus"));
    }
}
