use super::*;

#[test]
fn codes_are_unique_and_in_order() {
    assert!(Finding::CODES.is_sorted(), "{:?}", Finding::CODES);
    let mut codes = Finding::CODES.to_vec();
    codes.dedup();
    assert_eq!(codes, Finding::CODES);
}

#[test]
fn a_finding_is_data() {
    let finding = Finding::Headless { host: "web.shop".parse().expect("host") };
    let json = serde_json::to_value(&finding).expect("json");
    assert_eq!(
        json,
        serde_json::json!({
            "code": "CC112",
            "severity": "refused",
            "message": "web.shop is headless: a client picks the pod itself, so no proxy can choose by lane",
            "help": "give clients a Service with a cluster IP",
        })
    );
}

#[test]
fn a_code_alone_says_what_to_do() {
    let finding = Finding::Headless { host: "web.shop".parse().expect("host") };
    assert_eq!(Finding::help_for(finding.code()), Some(finding.help()));
    assert_eq!(Finding::help_for("CC999"), None);
}
