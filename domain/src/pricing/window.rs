//! For which pricing dates a price is the same: a price depends on its date only by the windows in which prices
//! and adjustments hold.

use super::{PriceKind, PricingInput};
use crate::moment::{Moment, within};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// A half-open interval of pricing dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub from: Option<Moment>,
    pub to: Option<Moment>,
}

impl Window {
    /// The dates around the input's own at which every other input leads to the same price.
    pub fn of(input: &PricingInput) -> Self {
        let mut window = Self { from: None, to: None };
        let offerings: HashSet<_> = input.configuration.lines.iter().map(|line| &line.product_offering_id).collect();
        for id in offerings {
            for kind in PriceKind::ALL {
                for (price, _) in input.catalog.prices(id, input.price_list_id, input.currency, kind) {
                    window.cut(Some(price.valid_from), input.pricing_date);
                    window.cut(price.valid_to, input.pricing_date);
                }
            }
            for (adjustment, _) in input.catalog.adjustments(id) {
                window.cut(Some(adjustment.valid_from), input.pricing_date);
                window.cut(adjustment.valid_to, input.pricing_date);
            }
        }
        window
    }

    pub fn holds(&self, at: Moment) -> bool {
        within(at, self.from, self.to)
    }

    /// Leaves out what lies on the other side of an edge.
    fn cut(&mut self, edge: Option<Moment>, at: Moment) {
        let Some(edge) = edge else { return };
        if edge <= at {
            self.from = Some(self.from.map_or(edge, |from| from.max(edge)));
        } else {
            self.to = Some(self.to.map_or(edge, |to| to.min(edge)));
        }
    }
}
