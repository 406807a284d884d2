//! `cpq import`.

use crate::support::{Database, Said, unique};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// A folder with one tenant.
struct Folder {
    dir: PathBuf,
    tenant: String,
}

impl Folder {
    fn new() -> Self {
        let tenant = unique("tenant").replace('_', "-");
        let folder = Self { dir: std::env::temp_dir().join(unique("cpq-import")), tenant };
        fs::create_dir_all(folder.dir.join(&folder.tenant)).unwrap();
        folder.write(
            "tenant.json",
            &json!({"tenantId": folder.tenant, "name": "T", "defaultCurrency": "USD", "taxRates": []}),
        );
        folder.write("customers.json", &json!([customer("acct-1"), customer("acct-2")]));
        folder.write("approvers.json", &json!([approver("bob", "20"), approver("bob", "30"), approver("carol", "40")]));
        folder.write("catalog.json", &catalog("1", "Fiber"));
        folder
    }

    fn write(&self, file: &str, content: &Value) {
        fs::write(self.dir.join(&self.tenant).join(file), content.to_string()).unwrap();
    }

    fn import(&self, database: &Database) -> Said {
        database.cpq(&format!("import {} --actor tester -o json", self.dir.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn customer(id: &str) -> Value {
    json!({"customerAccountId": id, "name": "C", "segment": "SMB", "jurisdiction": "US-CA", "salesOwnerId": "alice"})
}

fn approver(actor: &str, percent: &str) -> Value {
    json!({"actorId": actor, "roles": ["SALES_MANAGER"], "maxDiscountPercent": percent, "maxTotalAmount": "1000", "currency": "USD",
        "validFrom": "2026-01-01T00:00:00Z", "validTo": null})
}

fn catalog(version: &str, name: &str) -> Value {
    json!({
        "catalogVersion": version,
        "offerings": [{"id": "fiber", "version": "1", "name": name, "segments": ["SMB"], "sellableFrom": "2026-01-01T00:00:00Z",
            "sellableTo": null, "taxCategory": "STANDARD", "characteristics": [], "children": [], "fulfilment": ["ACTIVATE_SERVICE"]}],
        "rules": [],
        "prices": [{"id": "p1", "offeringId": "fiber", "priceListId": "standard", "currency": "USD", "kind": "RECURRING",
            "model": "FLAT", "amount": "10.00", "validFrom": "2026-01-01T00:00:00Z", "validTo": null}],
        "adjustments": []
    })
}

#[tokio::test]
async fn an_import_writes_what_differs_and_nothing_twice() {
    let (database, folder) = (Database::migrated().await, Folder::new());
    let first = folder.import(&database).expect(0).json();
    let changes = &first[0]["changes"];
    assert_eq!(changes["customers"], json!({"added": 2, "updated": 0, "removed": 0}));
    assert_eq!(changes["approvers"], json!({"added": 3, "updated": 0, "removed": 0}));
    assert_eq!((&changes["catalogPublished"], &changes["version"]), (&json!(true), &json!(1)));

    let second = folder.import(&database).expect(0).json();
    let nothing = json!({"added": 0, "updated": 0, "removed": 0});
    let changes = &second[0]["changes"];
    assert!(["tenant", "customers", "approvers"].iter().all(|kind| changes[*kind] == nothing), "{changes}");
    assert_eq!((&changes["catalogPublished"], &changes["version"]), (&json!(false), &json!(1)));
}

#[tokio::test]
async fn an_authority_that_is_no_longer_named_is_revoked_and_a_customer_stays() {
    let (database, folder) = (Database::migrated().await, Folder::new());
    folder.import(&database).expect(0);
    folder.write("approvers.json", &json!([approver("bob", "25")]));
    folder.write("customers.json", &json!([customer("acct-2"), customer("acct-3")]));
    let report = folder.import(&database).expect(0).json();
    let changes = &report[0]["changes"];
    assert_eq!(changes["approvers"], json!({"added": 0, "updated": 1, "removed": 2}));
    assert_eq!(changes["customers"], json!({"added": 1, "updated": 0, "removed": 0}));
    assert_eq!(changes["version"], 2);
}

#[tokio::test]
async fn a_published_catalog_version_never_changes() {
    let (database, folder) = (Database::migrated().await, Folder::new());
    folder.import(&database).expect(0);
    folder.write("catalog.json", &catalog("1", "Another name"));
    folder.write("customers.json", &json!([customer("acct-9")]));
    let refused = folder.import(&database).expect(1).json();
    assert!(refused[0]["error"].as_str().unwrap().starts_with("CATALOG_VERSION_EXISTS"), "{refused}");
    // Nothing of the tenant was written.
    folder.write("catalog.json", &catalog("2", "Another name"));
    let report = folder.import(&database).expect(0).json();
    assert_eq!(report[0]["changes"]["customers"]["added"], 1);
    assert_eq!(report[0]["changes"]["version"], 2);
}

#[tokio::test]
async fn a_faulty_folder_is_refused_before_anything_is_written() {
    let (database, folder) = (Database::migrated().await, Folder::new());
    folder.write("approvers.json", &json!([approver("bob", "101")]));
    let report = folder.import(&database).expect(1).json();
    assert_eq!(report["faults"][0]["pointer"], "/0/maxDiscountPercent");
    folder.write("approvers.json", &json!([]));
    assert_eq!(folder.import(&database).expect(0).json()[0]["changes"]["tenant"]["added"], 1);
}

#[tokio::test]
async fn an_import_is_audited_and_a_touched_entry_shows() {
    let (database, folder) = (Database::migrated().await, Folder::new());
    folder.import(&database).expect(0);
    folder.write("customers.json", &json!([customer("acct-7")]));
    folder.import(&database).expect(0);
    let proof = database.cpq("verify audit -o json").expect(0).json();
    assert_eq!(proof["numbers"], json!({"entries": 2, "chains": 1}));

    database.execute("update cpq.audit set actor_id = 'mallory' where entry = 1").await;
    let proof = database.cpq("verify audit -o json").expect(1).json();
    assert_eq!(proof["findingCount"], 1);
    assert!(proof["findings"][0]["detail"].as_str().unwrap().contains("was changed"), "{proof}");
}

#[tokio::test]
async fn the_reference_data_of_the_repository_is_valid() {
    let database = Database::migrated().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/reference-data");
    let report = database.cpq(&format!("import {folder} -o json")).expect(0).json();
    assert!(report.as_array().unwrap().len() >= 2, "{report}");
}
