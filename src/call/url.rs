//! Addresses: what of them is shown, and where a redirection leads.
//!
//! In: an address. Out: another, or words. Not here: asking it.
//! The surprise: neither the query nor a user in front of the host is ever shown, since both are where keys stand.

use ureq::http::Uri;

/// An address as it may be shown: scheme, host, port and path.
pub fn shown(uri: &Uri, is_public: bool) -> String {
    let path = if is_public { uri.path() } else { "/…" };
    format!("{}://{}{}", uri.scheme_str().unwrap_or("http"), host(uri), path.trim_end_matches('/'))
}

/// The host and the port as written, without a user.
pub fn host(uri: &Uri) -> &str {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Reads an absolute address of the web.
pub fn parse(text: &str) -> Option<Uri> {
    let uri: Uri = text.trim().parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    (is_web && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

/// True when both are the same host, port and scheme: what one may know, the other may.
pub fn is_same_origin(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    one.scheme() == other.scheme() && host(one) == host(other) && port(one) == port(other)
}

/// Where a `Location` leads from an address; nothing when that is no address of the web.
pub fn leads_to(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.trim().split('#').next().unwrap_or("");
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let first = location.split(['/', '?']).next().unwrap_or("");
    if first.contains(':') {
        return parse(location);
    }
    if location.starts_with("//") {
        return parse(&format!("{scheme}:{location}"));
    }
    let path = base.path();
    let (way, query) = match location.split_once('?') {
        Some((way, query)) => (way, format!("?{query}")),
        None => (location, String::new()),
    };
    let way = match way {
        "" => path.to_owned(),
        way if way.starts_with('/') => straight(way),
        way => straight(&format!("{}/{way}", path.rsplit_once('/').map_or("", |(folder, _)| folder))),
    };
    parse(&format!("{scheme}://{authority}{way}{query}"))
}

/// A path without `.` and `..`.
fn straight(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let last = path.rsplit('/').next();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    if matches!(last, Some("." | "..")) {
        parts.push("");
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{is_same_origin, leads_to, parse, shown};

    #[test]
    fn a_location_leads_where_a_browser_would_go() {
        let table = [
            ("http://a/b/c?d", "e", Some("http://a/b/e")),
            ("http://a/b/c?d", "/e?f", Some("http://a/e?f")),
            ("http://a/b/c?d", "?f", Some("http://a/b/c?f")),
            ("http://a/b/c", "../e/./f/..", Some("http://a/e/")),
            ("http://a/b", "../../e", Some("http://a/e")),
            ("https://a:8443/b", "//other/c", Some("https://other/c")),
            ("http://a", "b#c", Some("http://a/b")),
            ("http://a/b", "https://x/y", Some("https://x/y")),
            ("http://a/b", "HTTP://x/y", Some("http://x/y")),
            ("http://a/b", "ftp://x/y", None),
            ("http://a/b", "javascript:x", None),
            ("http://a/b", "http://", None),
            ("http://a/b", "a b", None),
        ];
        for (base, location, expected) in table {
            let found = leads_to(&parse(base).expect("an address"), location);
            assert_eq!(found, expected.map(|text| text.parse().expect("an address")), "{base} {location}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |one, other| is_same_origin(&parse(one).expect("one"), &parse(other).expect("other"));
        assert!(same("http://a/b", "http://A:80/c"));
        for other in ["https://a/", "http://b/", "http://a:81/", "http://a.b/"] {
            assert!(!same("http://a/", other), "{other}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let uri = parse("https://me:key@a.example:8443/b/c?key=d").expect("an address");
        assert_eq!(shown(&uri, true), "https://a.example:8443/b/c");
        assert_eq!(shown(&uri, false), "https://a.example:8443/…");
    }
}
