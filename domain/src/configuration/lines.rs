//! Each line by itself: which version of the offering it means, and the values of its characteristics.

use super::{CharacteristicValue, ConfiguredLine, Faults, LineAction, LineRequest};
use crate::catalog::{Catalog, Offering};
use crate::moment::Moment;
use crate::pointer::token;
use crate::rejection::FieldCode;
use std::collections::BTreeMap;

/// What lines are judged by.
pub(super) struct Judge<'a> {
    pub catalog: &'a Catalog,
    pub segment: &'a str,
    pub at: Moment,
}

/// A line with the offering version that it means.
pub(super) struct Resolved<'a> {
    pub offering: &'a Offering,
    pub line: ConfiguredLine,
}

impl<'a> Judge<'a> {
    /// The line as configured; `None` if its offering cannot be had.
    pub fn line(&self, i: usize, line: &LineRequest, faults: &mut Faults) -> Option<Resolved<'a>> {
        let Some(offering) = self.offering(line) else {
            self.hidden(i, line, faults);
            return None;
        };
        let characteristics = self.characteristics(i, offering, line, faults);
        let line = ConfiguredLine {
            line_number: line.line_number.clone(),
            parent_line_number: line.parent_line_number.clone(),
            product_offering_id: line.product_offering_id.clone(),
            product_offering_version: offering.version.clone(),
            product_offering_name: offering.name.clone(),
            quantity: line.quantity,
            action: line.action,
            characteristics,
            asset_id: line.asset_id.clone(),
            requested_date: line.requested_date.clone(),
            tax_category: offering.tax_category.clone(),
            fulfilment: offering.fulfilment.clone(),
        };
        Some(Resolved { offering, line })
    }

    /// The version that the line names, else the newest on sale. What is installed may be kept or ended after
    /// its sale has ended, so DISCONNECT and NO_CHANGE fall back on versions outside of their sell window.
    pub fn offering(&self, line: &LineRequest) -> Option<&'a Offering> {
        let id = &line.product_offering_id;
        let may_be_had = |offering: &&Offering| {
            offering.is_visible(self.segment) && (offering.is_sellable(self.at) || !line.action.is_charged())
        };
        match &line.product_offering_version {
            Some(version) => self.catalog.offering(id, version).filter(may_be_had),
            None => self
                .catalog
                .newest_sellable(id, self.segment, self.at)
                .or_else(|| self.catalog.versions(id).find(may_be_had)),
        }
    }

    fn hidden(&self, i: usize, line: &LineRequest, faults: &mut Faults) {
        faults.hidden = true;
        let id = &line.product_offering_id;
        let other = self.catalog.newest_sellable(id, self.segment, self.at);
        match (&line.product_offering_version, other) {
            (Some(version), Some(other)) => {
                let detail =
                    format!("version {version} of {id} is not on sale for this customer; {} is", other.version);
                faults.add(i, "/productOfferingVersion", FieldCode::UnknownReference, detail);
            }
            _ => {
                let detail = format!("{id} is not on sale for this customer");
                faults.add(i, "/productOfferingId", FieldCode::UnknownReference, detail);
            }
        }
    }

    fn characteristics(
        &self,
        i: usize,
        offering: &Offering,
        line: &LineRequest,
        faults: &mut Faults,
    ) -> BTreeMap<String, CharacteristicValue> {
        let field = |name: &str| format!("/characteristics/{}", token(name));
        for (name, value) in &line.characteristics {
            match offering.characteristic(name) {
                None => {
                    let detail = format!("{} has no characteristic {name}", offering.id);
                    faults.add(i, &field(name), FieldCode::UnknownField, detail);
                }
                Some(definition) => {
                    if let Some((code, detail)) = self.catalog.value_fault(definition, value) {
                        faults.add(i, &field(name), code, detail);
                    }
                }
            }
        }
        let mut values = line.characteristics.clone();
        for definition in &offering.characteristics {
            if values.contains_key(&definition.name) {
                continue;
            }
            match &definition.default {
                Some(default) => {
                    values.insert(definition.name.clone(), default.clone());
                }
                None if definition.required && line.action != LineAction::Disconnect => {
                    let detail = format!("{} needs {}", offering.id, definition.name);
                    faults.add(i, &field(&definition.name), FieldCode::Required, detail);
                }
                None => {}
            }
        }
        values
    }
}
