//! From a tenant's folder to what may be written, or every fault in it.

use super::check;
use super::fault::Fault;
use super::json;
use cpq_domain::approval::ApprovalPolicy;
use cpq_domain::catalog::MAX_DOCUMENT_BYTES;
use cpq_domain::reference::{Approver, Customer, Tenant};
use cpq_domain::rejection::FieldError;
use cpq_state_stores::import::{ApproverRow, CatalogRow, CustomerRow, TenantImport};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::{fs, io};

/// The largest file that is read: catalogs are the largest.
pub const MAX_FILE_BYTES: u64 = MAX_DOCUMENT_BYTES as u64;

/// Reads and validates one tenant's folder, which is named by the tenant's id.
pub fn tenant(folder: &Path, tenant_id: &str, published_by: &str) -> Result<TenantImport, Vec<Fault>> {
    let mut faults = Vec::new();
    let files = Files { folder, tenant_id };
    let tenant = files.parsed("tenant.json", &mut faults, |file, text| {
        json::document::<Tenant>(file, text).map_err(|fault| vec![fault]).map(|tenant| (tenant, value(text)))
    });
    let customers = files.parsed("customers.json", &mut faults, json::list::<Customer>);
    let approvers = files.parsed("approvers.json", &mut faults, json::list::<Approver>);
    let catalog = files.parsed("catalog.json", &mut faults, catalog);
    let approval_policy = files.optional("approval-policy.dmn", &mut faults, policy);

    faults.extend(tenant.iter().flat_map(|(t, _)| check::tenant(&files.name("tenant.json"), t, tenant_id)));
    faults.extend(customers.iter().flat_map(|c| check::customers(&files.name("customers.json"), c)));
    faults.extend(approvers.iter().flat_map(|a| check::approvers(&files.name("approvers.json"), a)));
    match (tenant, customers, approvers, catalog) {
        (Some((_, document)), Some(customers), Some(approvers), Some(catalog)) if faults.is_empty() => {
            Ok(TenantImport {
                tenant_id: tenant_id.to_owned(),
                document,
                customers: customers.into_iter().map(customer_row).collect(),
                approvers: approver_rows(approvers),
                catalog,
                approval_policy,
                published_by: published_by.to_owned(),
            })
        }
        _ => Err(faults),
    }
}

/// A tenant's files.
struct Files<'a> {
    folder: &'a Path,
    tenant_id: &'a str,
}

impl Files<'_> {
    /// The name under which a fault is reported.
    fn name(&self, file: &str) -> String {
        format!("{}/{file}", self.tenant_id)
    }

    /// A file that must be there.
    fn parsed<T>(
        &self,
        file: &str,
        faults: &mut Vec<Fault>,
        parse: impl FnOnce(&str, &str) -> Result<T, Vec<Fault>>,
    ) -> Option<T> {
        let before = faults.len();
        let parsed = self.optional(file, faults, parse);
        if parsed.is_none() && faults.len() == before {
            faults.push(Fault::new(&self.name(file), "", "this file is missing"));
        }
        parsed
    }

    /// A file that may be there.
    fn optional<T>(
        &self,
        file: &str,
        faults: &mut Vec<Fault>,
        parse: impl FnOnce(&str, &str) -> Result<T, Vec<Fault>>,
    ) -> Option<T> {
        let name = self.name(file);
        let text = match text(&self.folder.join(file)) {
            Ok(Some(text)) => text,
            Ok(None) => return None,
            Err(detail) => {
                faults.push(Fault::new(&name, "", detail));
                return None;
            }
        };
        parse(&name, &text).map_err(|found| faults.extend(found)).ok()
    }
}

/// The file's text; `None` if there is no such file.
fn text(path: &Path) -> Result<Option<String>, String> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(format!("cannot be read: {cause}")),
    };
    if size > MAX_FILE_BYTES {
        return Err(format!("has {size} bytes; at most {MAX_FILE_BYTES} are read"));
    }
    fs::read_to_string(path).map(Some).map_err(|cause| format!("cannot be read: {cause}"))
}

/// The document as it stands in a file that has been parsed.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn catalog(file: &str, text: &str) -> Result<CatalogRow, Vec<Fault>> {
    let document = cpq_domain::json::parse(text.as_bytes()).map_err(|detail| vec![Fault::new(file, "", detail)])?;
    let fault = |fault: FieldError| Fault::new(file, fault.pointer, fault.detail);
    CatalogRow::checked(document).map(|(row, _)| row).map_err(|faults| faults.into_iter().map(fault).collect())
}

fn policy(file: &str, text: &str) -> Result<String, Vec<Fault>> {
    match ApprovalPolicy::compile(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(invalid) => Err(invalid.faults.into_iter().map(|detail| Fault::new(file, "", detail)).collect()),
    }
}

fn customer_row(customer: Customer) -> CustomerRow {
    CustomerRow {
        customer_account_id: customer.customer_account_id.into_string(),
        name: customer.name,
        segment: customer.segment,
        jurisdiction: customer.jurisdiction,
        sales_owner_id: customer.sales_owner_id.into_string(),
    }
}

fn approver_rows(approvers: Vec<Approver>) -> Vec<ApproverRow> {
    let mut entries: HashMap<String, i32> = HashMap::new();
    let row = |approver: Approver| {
        let actor_id = approver.actor_id.into_string();
        let entry = entries.entry(actor_id.clone()).or_default();
        *entry += 1;
        ApproverRow {
            actor_id,
            entry: *entry,
            roles: approver.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            max_discount_percent: approver.max_discount_percent.0.to_string(),
            max_total_amount: approver.max_total_amount.0.to_string(),
            currency: approver.currency.code().to_owned(),
            valid_from: approver.valid_from.to_string(),
            valid_to: approver.valid_to.map(|at| at.to_string()),
        }
    };
    approvers.into_iter().map(row).collect()
}
