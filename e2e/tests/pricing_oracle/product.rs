//! The product's answer: a catalog through the publication check, lines through the configuration, and its price
//! with the trace.

use cpq_domain::catalog::{Adjustment, Catalog, PriceEntry, read};
use cpq_domain::configuration::{Configuration, LineRequest, check_form, configure};
use cpq_domain::ids::CustomerAccountId;
use cpq_domain::moment::Moment;
use cpq_domain::money::Currency;
use cpq_domain::pricing::{Price, PriceTrace, PricingInput, PricingRequest, price};
use cpq_domain::reference::{Customer, Tenant};
use cpq_domain::rejection::{FieldCode, FieldError, Rejection};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;

/// A tenant with its published catalog.
pub struct Shop {
    pub catalog: Catalog,
    pub prices: HashMap<String, PriceEntry>,
    pub adjustments: HashMap<String, Adjustment>,
    tenant: Tenant,
    customers: Vec<Customer>,
}

/// A quote as it is priced.
#[derive(Clone)]
pub struct Asked {
    pub configuration: Configuration,
    pub request: PricingRequest,
    customer: CustomerAccountId,
    price_list_id: String,
    currency: Currency,
    term_months: u32,
    pub pricing_date: Moment,
}

pub type Priced = Result<(Price, PriceTrace), Rejection>;

/// A part of a document, which must be of that type.
fn part<'a, T: Deserialize<'a>>(document: &'a Value, name: &str) -> Result<T, String> {
    T::deserialize(&document[name]).map_err(|cause| format!("{name}: {cause}"))
}

impl Shop {
    /// Publishes `{tenant, customers, catalog}`, or gives the faults of the catalog.
    pub fn open(reference: &Value) -> Result<Self, Vec<FieldError>> {
        let of_form = |cause: String| vec![FieldError::new("", FieldCode::WrongType, cause)];
        let catalog = read(&reference["catalog"])?;
        let source = catalog.source();
        Ok(Self {
            prices: source.prices.iter().map(|price| (price.id.clone(), price.clone())).collect(),
            adjustments: source.adjustments.iter().map(|one| (one.id.clone(), one.clone())).collect(),
            catalog,
            tenant: part(reference, "tenant").map_err(of_form)?,
            customers: part(reference, "customers").map_err(of_form)?,
        })
    }

    /// Reads and configures a quote, or says why that cannot be.
    pub fn ask(&self, quote: &Value) -> Result<Asked, String> {
        let lines: Vec<LineRequest> = part(quote, "lines")?;
        let faults = check_form(&lines);
        if !faults.is_empty() {
            return Err(format!("{faults:?}"));
        }
        let customer: CustomerAccountId = part(quote, "customerAccountId")?;
        let configuration = configure(&self.catalog, self.customer(&customer)?, part(quote, "configuredAt")?, &lines)
            .map_err(|rejection| format!("{rejection:?}"))?;
        Ok(Asked {
            configuration,
            request: PricingRequest::deserialize(quote).map_err(|cause| cause.to_string())?,
            customer,
            price_list_id: part(quote, "priceListId")?,
            currency: part(quote, "currency")?,
            term_months: part(quote, "termMonths")?,
            pricing_date: part(quote, "pricingDate")?,
        })
    }

    pub fn price(&self, asked: &Asked) -> Priced {
        price(&PricingInput {
            catalog: &self.catalog,
            tenant: &self.tenant,
            customer: self.customer(&asked.customer).unwrap(),
            price_list_id: &asked.price_list_id,
            currency: asked.currency,
            term_months: asked.term_months,
            configuration: &asked.configuration,
            pricing_date: asked.pricing_date,
            request: &asked.request,
        })
    }

    fn customer(&self, id: &CustomerAccountId) -> Result<&Customer, String> {
        let found = self.customers.iter().find(|customer| customer.customer_account_id == *id);
        found.ok_or_else(|| format!("there is no customer {id}"))
    }
}

/// What the product says, for `oracle::agrees` and for people.
pub fn shown(priced: &Priced) -> Value {
    match priced {
        Ok((price, _)) => json!({"price": price}),
        Err(rejection) => {
            let errors: Vec<Value> =
                rejection.errors.iter().map(|error| json!({"pointer": error.pointer, "code": error.code})).collect();
            json!({"errorCode": rejection.code, "errors": errors})
        }
    }
}
