//! What `cpq import` finds wrong in a folder of reference data, and what it leaves alone.

use super::*;
use pretty_assertions::assert_eq;
use rstest::rstest;

/// A folder with one valid tenant, `t`.
fn folder() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("cpq-import-{}", uuid::Uuid::now_v7()));
    fs::create_dir_all(dir.join("t")).unwrap();
    write_file(&dir, "tenant.json", r#"{"tenantId":"t","name":"T","defaultCurrency":"USD","taxRates":[]}"#);
    write_file(&dir, "customers.json", "[]");
    write_file(&dir, "approvers.json", "[]");
    write_file(
        &dir,
        "catalog.json",
        r#"{"catalogVersion":"1","offerings":[],"rules":[],"prices":[],"adjustments":[]}"#,
    );
    dir
}

fn write_file(dir: &Path, file: &str, text: &str) {
    fs::write(dir.join("t").join(file), text).unwrap();
}

fn faults(dir: &Path) -> Vec<String> {
    match read_all(dir, "tester").unwrap() {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(|fault| format!("{}#{}", fault.file, fault.pointer)).collect(),
    }
}

#[test]
fn a_valid_folder_has_no_fault() {
    assert_eq!(faults(&folder()), Vec::<String>::new());
}

#[test]
fn the_faults_of_all_files_are_reported_at_once() {
    let dir = folder();
    write_file(&dir, "tenant.json", r#"{"tenantId":"other","name":"T","defaultCurrency":"USD","taxRates":[],"x":1}"#);
    write_file(&dir, "customers.json", r#"[{"customerAccountId":"a"},7]"#);
    fs::remove_file(dir.join("t/approvers.json")).unwrap();
    write_file(&dir, "catalog.json", r#"{"catalogVersion":"1","offerings":[{"id":1}],"prices":[{"id":"p"}]}"#);
    write_file(&dir, "approval-policy.dmn", "<no>");
    assert_eq!(
        faults(&dir),
        [
            "t/tenant.json#/x",
            "t/customers.json#/0",
            "t/customers.json#/1",
            "t/approvers.json#",
            "t/catalog.json#/offerings/0/id",
            "t/catalog.json#/prices/0/offeringId",
            "t/approval-policy.dmn#",
        ]
    );
}

#[rstest]
#[case(r#"{"catalogVersion":"1","offerings":[{"id":"a","version":"1","name":"A","segments":["SMB"],"sellableFrom":"2026-01-01T00:00:00Z","taxCategory":"STANDARD","characteristics":[],"children":[{"offeringId":"nowhere","min":0,"max":1}],"fulfilment":[]}],"rules":[],"prices":[],"adjustments":[]}"#)]
fn a_catalog_that_does_not_compile_is_refused(#[case] catalog: &str) {
    let dir = folder();
    write_file(&dir, "catalog.json", catalog);
    let faults = faults(&dir);
    assert!(!faults.is_empty() && faults.iter().all(|f| f.starts_with("t/catalog.json#/offerings/0")), "{faults:?}");
}

#[test]
fn a_member_that_stands_twice_in_a_catalog_is_refused() {
    let dir = folder();
    write_file(&dir, "catalog.json", r#"{"catalogVersion":"1","catalogVersion":"2","offerings":[]}"#);
    assert_eq!(faults(&dir), ["t/catalog.json#"]);
}

#[test]
fn blanks_and_the_order_of_keys_do_not_change_a_catalog() {
    let dir = folder();
    let hash = |dir: &Path| read_all(dir, "tester").unwrap().unwrap()[0].catalog.content_hash.clone();
    let before = hash(&dir);
    write_file(
        &dir,
        "catalog.json",
        r#"{ "adjustments":[], "prices":[], "rules":[], "offerings":[], "catalogVersion":"1" }"#,
    );
    assert_eq!(hash(&dir), before);
}

#[test]
fn a_folder_without_tenants_is_a_wrong_command_line() {
    let dir = std::env::temp_dir().join(format!("cpq-import-{}", uuid::Uuid::now_v7()));
    fs::create_dir_all(&dir).unwrap();
    assert!(matches!(read_all(&dir, "tester"), Err(Failure::Usage(_))));
}

#[test]
fn what_changed_is_said_in_words() {
    let changes = Changes {
        tenant: Changed::default(),
        customers: Changed { added: 2, updated: 1, removed: 0 },
        approvers: Changed { added: 0, updated: 0, removed: 1 },
        catalog_published: true,
        policy_changed: false,
        version: 3,
    };
    assert_eq!(
        described(&changes, "2026.11"),
        "customers: 2 new, 1 changed; approvers: 1 removed; catalog 2026.11 published"
    );
}
