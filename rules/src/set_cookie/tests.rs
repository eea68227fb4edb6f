use super::{CookieAttributes, CookieAttributesError as Error, SameSite, expire, set};
use crate::name::CookieName;

fn name(text: &str) -> CookieName {
    CookieName::new(text).expect("a cookie name")
}

fn bare() -> CookieAttributes {
    CookieAttributes { http_only: false, same_site: None, ..CookieAttributes::default() }
}

#[track_caller]
fn check_set(value: &str, max_age_s: u32, attributes: &CookieAttributes, expected: &str) {
    let line = set(&name("lane"), value, max_age_s, attributes);
    assert_eq!(core::str::from_utf8(&line), Ok(expected));
}

#[track_caller]
fn check_valid(cookie: &str, attributes: CookieAttributes, expected: Result<(), Error>) {
    assert_eq!(attributes.validate(&name(cookie)), expected);
}

#[test]
fn defaults_are_hidden_from_scripts_and_lax() {
    check_set(
        "gray",
        60,
        &CookieAttributes::default(),
        "lane=gray; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
    );
}

#[test]
fn every_attribute_is_written() {
    let all = CookieAttributes {
        path: "/shop".into(),
        domain: Some("shop.test".into()),
        secure: true,
        http_only: true,
        same_site: Some(SameSite::None),
        partitioned: true,
    };
    check_set(
        "gray",
        1,
        &all,
        "lane=gray; Path=/shop; Domain=shop.test; Max-Age=1; Secure; HttpOnly; SameSite=None; Partitioned",
    );
    check_set(
        "gray",
        1,
        &CookieAttributes { same_site: Some(SameSite::Strict), ..bare() },
        "lane=gray; Path=/; Max-Age=1; SameSite=Strict",
    );
}

#[test]
fn a_life_beyond_400_days_is_cut() {
    check_set("a", u32::MAX, &bare(), "lane=a; Path=/; Max-Age=34560000");
    check_set("a", 34_560_000, &bare(), "lane=a; Path=/; Max-Age=34560000");
    check_set("a", 34_559_999, &bare(), "lane=a; Path=/; Max-Age=34559999");
}

#[test]
fn nothing_breaks_out_of_the_line() {
    check_set("a\r\nb; \"x\",\\ü y", 1, &bare(), "lane=abxy; Path=/; Max-Age=1");
    let hostile = CookieAttributes { path: "/;\r\n Domain=x".into(), domain: Some("a;b\n".into()), ..bare() };
    check_set("a", 1, &hostile, "lane=a; Path=/Domain=x; Domain=ab; Max-Age=1");
}

#[test]
fn expiring_works_for_browsers_without_max_age_too() {
    let line = expire(&name("lane"), &CookieAttributes { domain: Some("a.test".into()), ..bare() });
    let expected = "lane=; Path=/; Domain=a.test; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    assert_eq!(core::str::from_utf8(&line), Ok(expected));
}

#[test]
fn the_defaults_are_valid() {
    check_valid("lane", CookieAttributes::default(), Ok(()));
}

#[test]
fn the_path_is_checked() {
    for path in ["", "shop", "/a;b", "/a b", "/a\n", "/ü"] {
        check_valid("lane", CookieAttributes { path: path.into(), ..bare() }, Err(Error::Path));
    }
    let long = |bytes: usize| CookieAttributes { path: format!("/{}", "x".repeat(bytes - 1)), ..bare() };
    check_valid("lane", long(1024), Ok(()));
    check_valid("lane", long(1025), Err(Error::Path));
}

#[test]
fn the_domain_is_checked() {
    let with = |domain: &str| CookieAttributes { domain: Some(domain.into()), ..bare() };
    for domain in ["", ".", "a..b", "a_b", "-a.test", "a-.test", "a;b", "a.test.", "ü.test", &"a".repeat(254)]
    {
        check_valid("lane", with(domain), Err(Error::Domain));
    }
    for domain in ["shop.test", ".shop.test", "localhost", "10.0.0.1", "a-b.Test"] {
        check_valid("lane", with(domain), Ok(()));
    }
}

#[test]
fn what_needs_secure_is_refused_without() {
    let none = CookieAttributes { same_site: Some(SameSite::None), ..bare() };
    check_valid("lane", none.clone(), Err(Error::SameSiteNoneNeedsSecure));
    check_valid("lane", CookieAttributes { secure: true, ..none }, Ok(()));
    let partitioned = CookieAttributes { partitioned: true, ..bare() };
    check_valid("lane", partitioned.clone(), Err(Error::PartitionedNeedsSecure));
    check_valid("lane", CookieAttributes { secure: true, ..partitioned }, Ok(()));
}

#[test]
fn name_prefixes_hold_in_any_case() {
    let secure = || CookieAttributes { secure: true, ..bare() };
    for cookie in ["__Secure-lane", "__secure-lane", "__SECURE-"] {
        check_valid(cookie, bare(), Err(Error::PrefixNeedsSecure { prefix: "__Secure-" }));
        check_valid(cookie, secure(), Ok(()));
        check_valid(cookie, CookieAttributes { path: "/a".into(), ..secure() }, Ok(()));
    }
    for cookie in ["__Host-lane", "__hOST-lane"] {
        let host = Err(Error::PrefixNeedsHost { prefix: "__Host-" });
        check_valid(cookie, bare(), Err(Error::PrefixNeedsSecure { prefix: "__Host-" }));
        check_valid(cookie, CookieAttributes { path: "/a".into(), ..secure() }, host.clone());
        check_valid(cookie, CookieAttributes { domain: Some("a.test".into()), ..secure() }, host);
        check_valid(cookie, secure(), Ok(()));
    }
    check_valid("__Http-lane", secure(), Err(Error::PrefixNeedsHttpOnly { prefix: "__Http-" }));
    check_valid("__Http-lane", CookieAttributes { http_only: true, path: "/a".into(), ..secure() }, Ok(()));
    check_valid("__Host-Http-lane", secure(), Err(Error::PrefixNeedsHttpOnly { prefix: "__Host-Http-" }));
    check_valid("__Host-Http-lane", CookieAttributes { http_only: true, ..secure() }, Ok(()));
    check_valid("__Hos", bare(), Ok(()));
}

#[test]
fn attributes_are_read_from_camel_case_and_nothing_else() {
    let read = |text: &str| serde_json::from_str::<CookieAttributes>(text);
    let all = concat!(
        r#"{"path":"/a","domain":"a.test","secure":true,"httpOnly":false,"#,
        r#""sameSite":"None","partitioned":true}"#,
    );
    let attributes = read(all).expect("every attribute");
    assert_eq!(serde_json::to_string(&attributes).expect("written"), all);
    assert_eq!(read("{}").expect("defaults"), CookieAttributes::default());
    assert_eq!(read(r#"{"sameSite":null}"#).expect("no sameSite").same_site, None);
    assert!(read(r#"{"http_only":true}"#).is_err());
    assert!(read(r#"{"sameSite":"lax"}"#).is_err());
}
