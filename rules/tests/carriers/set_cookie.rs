//! `set-cookie` lines as the `cookie` crate reads them.

use canary_rules::cookie::first;
use canary_rules::name::CookieName;
use canary_rules::set_cookie::{CookieAttributes, MAX_AGE_S_MAX, SameSite, expire, set};
use cookie::{Cookie, time::Duration};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = CookieName> {
    "(__Host-|__secure-|)[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}"
        .prop_map(|text| CookieName::new(&text).expect("a cookie name"))
}

fn same_site() -> impl Strategy<Value = Option<SameSite>> {
    prop::sample::select(vec![None, Some(SameSite::Strict), Some(SameSite::Lax), Some(SameSite::None)])
}

fn attributes(path: &'static str, domain: &'static str) -> impl Strategy<Value = CookieAttributes> {
    let flags = any::<(bool, bool, bool)>();
    (path, prop::option::of(domain), flags, same_site()).prop_map(
        |(path, domain, (secure, http_only, partitioned), same_site)| CookieAttributes {
            path,
            domain,
            secure,
            http_only,
            same_site,
            partitioned,
        },
    )
}

fn read(line: Vec<u8>) -> Cookie<'static> {
    Cookie::parse(String::from_utf8(line).expect("ASCII")).expect("a cookie")
}

#[track_caller]
fn check_attributes(cookie: &Cookie<'_>, expected: &CookieAttributes) {
    assert_eq!(cookie.path(), Some(expected.path.as_str()));
    // The oracle drops a leading dot, as browsers do.
    assert_eq!(
        cookie.domain(),
        expected.domain.as_deref().map(|domain| domain.strip_prefix('.').unwrap_or(domain))
    );
    assert_eq!(cookie.secure(), expected.secure.then_some(true));
    assert_eq!(cookie.http_only(), expected.http_only.then_some(true));
    assert_eq!(cookie.partitioned(), expected.partitioned.then_some(true));
    let same_site = expected.same_site.map(|same_site| match same_site {
        SameSite::Strict => cookie::SameSite::Strict,
        SameSite::Lax => cookie::SameSite::Lax,
        SameSite::None => cookie::SameSite::None,
    });
    assert_eq!(cookie.same_site(), same_site);
}

proptest! {
    #[test]
    fn a_set_cookie_is_read_as_it_was_meant(
        name in name(),
        value in "[!#-+--:<-\\[\\]-~]{0,40}",
        age in any::<u32>(),
        attributes in attributes("/[!-:<-~]{0,20}", "[.]?[a-z0-9]{1,8}([.][a-z0-9]{1,8}){0,3}"),
    ) {
        let cookie = read(set(&name, &value, age, &attributes));
        prop_assert_eq!(cookie.name_value(), (name.as_str(), value.as_str()));
        prop_assert_eq!(cookie.max_age(), Some(Duration::seconds(age.min(MAX_AGE_S_MAX).into())));
        prop_assert!(cookie.expires().is_none());
        check_attributes(&cookie, &attributes);
        // What a browser sends back is what was set.
        let sent = format!("{}; a=1", cookie.stripped());
        prop_assert_eq!(first([sent.as_bytes()].into_iter(), &name), Some(value.as_bytes()));
    }

    #[test]
    fn an_ended_cookie_is_in_the_past(
        name in name(),
        attributes in attributes("/[a-z]{0,20}", "[a-z]{1,8}[.]test"),
    ) {
        let cookie = read(expire(&name, &attributes));
        prop_assert_eq!(cookie.name_value(), (name.as_str(), ""));
        prop_assert_eq!(cookie.max_age(), Some(Duration::ZERO));
        prop_assert_eq!(cookie.expires_datetime().map(|time| time.unix_timestamp()), Some(0));
        check_attributes(&cookie, &attributes);
    }

    #[test]
    fn nothing_breaks_out_of_the_line(
        name in name(),
        value in any::<String>(),
        attributes in attributes("(?s).{0,20}", "(?s).{1,20}"),
    ) {
        let line = set(&name, &value, 1, &attributes);
        prop_assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let optional = [
            attributes.domain.is_some_and(|domain| !domain.is_empty()),
            attributes.secure,
            attributes.http_only,
            attributes.partitioned,
            attributes.same_site.is_some(),
        ];
        // Path and Max-Age are always there.
        let expected = 2 + optional.iter().filter(|set| **set).count();
        prop_assert_eq!(line.iter().filter(|byte| **byte == b';').count(), expected);
    }

    #[test]
    fn what_is_valid_has_what_its_prefix_promises(name in name(), attributes in attributes("/[ab]?", "a[.]test")) {
        if attributes.validate(&name).is_ok() {
            let lower = name.as_str().to_ascii_lowercase();
            let one_host = attributes.path == "/" && attributes.domain.is_none();
            let cross_site = attributes.partitioned || attributes.same_site == Some(SameSite::None);
            prop_assert!(attributes.secure || !lower.starts_with("__secure-"));
            prop_assert!(attributes.secure && one_host || !lower.starts_with("__host-"));
            prop_assert!(attributes.secure || !cross_site);
        }
    }
}
