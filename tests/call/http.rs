//! Requests, answers, redirections, and what is never shown.

use std::io::Write;

use rustix::net::{AddressFamily, SocketAddrV4, SocketType};
use serde_json::{Value, json};

use crate::support::{Asked, Done, SECRET, Server, answer, call, call_with, ok};

/// A call of this request, with its address filled in.
fn ask(server: &Server, path: &str, mut request: Value, params: Value) -> Done {
    request["url"] = server.url(path).into();
    call(&json!({ "http": request, "params": params }))
}

fn echo() -> Server {
    Server::new(|asked: &Asked| ok(&asked.body))
}

#[test]
fn parameters_go_where_the_method_has_a_place_for_them() {
    let params = json!({ "name": "a b", "count": 2 });
    for method in ["POST", "PUT", "PATCH"] {
        let server = echo();
        let done = ask(&server, "/x?y=z", json!({ "method": method }), params.clone());
        let asked = server.only();
        assert_eq!((asked.method.as_str(), asked.target.as_str()), (method, "/x?y=z"));
        assert_eq!((asked.json(), asked.header("content-type")), (params.clone(), Some("application/json")));
        assert_eq!((done.code, serde_json::from_slice::<Value>(&done.out).expect("JSON")), (0, params.clone()));
        assert_eq!(done.err, format!("{method} {}: 200 OK\n", server.url("/x")));
    }
    for method in ["GET", "DELETE", "HEAD", "OPTIONS"] {
        let server = echo();
        let done = ask(&server, "/x?y=z", json!({ "method": method }), params.clone());
        let asked = server.only();
        assert_eq!((asked.method.as_str(), asked.body.len()), (method, 0));
        assert_eq!(asked.target, "/x?y=z&count=2&name=a%20b");
        assert_eq!(done.code, 0, "{}", done.err);
    }
    let server = echo();
    assert_eq!(ask(&server, "", json!({}), Value::Null).code, 0);
    assert_eq!((server.only().method.as_str(), server.only().target.as_str()), ("GET", "/"));
}

#[test]
fn a_body_and_headers_are_sent_as_they_are_given() {
    let server = echo();
    let headers = json!({ "X-One": "1", "content-type": "text/x" });
    let done = ask(&server, "/", json!({ "method": "PUT", "body": "a\nb", "headers": headers }), json!({ "c": 1 }));
    let asked = server.only();
    assert_eq!((done.text().as_str(), asked.header("content-type")), ("a\nb", Some("text/x")));
    assert_eq!((asked.header("x-one"), asked.target.as_str()), (Some("1"), "/"));
    assert_eq!(asked.header("user-agent"), Some(concat!("setpoint/", env!("CARGO_PKG_VERSION"))));
    let server = echo();
    let done = ask(&server, "/", json!({ "method": "DELETE", "body": [1, 2] }), json!({}));
    assert_eq!((done.code, done.text().as_str(), server.only().method.as_str()), (0, "[1,2]", "DELETE"));
    assert_eq!(server.only().header("content-type"), Some("application/json"));
}

#[test]
fn what_is_no_success_is_printed_and_fails() {
    let server = Server::new(|_| answer("503 Service Unavailable", &[], "come back"));
    let done = ask(&server, "/x", json!({}), json!({}));
    assert_eq!((done.code, done.text().as_str()), (1, "come back"));
    assert_eq!(done.error(), format!("{} answered 503 Service Unavailable, expected 200 to 299", server.url("/x")));
    assert_eq!(ask(&server, "/x", json!({ "expect": [200, 503] }), json!({})).code, 0);
    let server = echo();
    let done = ask(&server, "/x", json!({ "expect": [201, 204] }), json!({}));
    assert_eq!((done.code, done.error()), (1, format!("{} answered 200 OK, expected 201, 204", server.url("/x"))));
}

#[test]
fn an_answer_is_cut_at_a_mebibyte_and_says_so() {
    for (length, is_cut) in [(1 << 20, false), ((1 << 20) + 1, true), (3 << 20, true)] {
        let body: Vec<u8> = (0..length).map(|at: usize| u8::try_from(at % 251).expect("a byte")).collect();
        let sent = body.clone();
        let server = Server::new(move |_| ok(&sent));
        let done = ask(&server, "/", json!({}), json!({}));
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(done.out == body[..body.len().min(1 << 20)], "{} bytes", done.out.len());
        assert_eq!(done.err.contains("longer than 1 MiB; the rest of it is left out"), is_cut, "{}", done.err);
    }
}

#[test]
fn an_answer_that_breaks_off_fails() {
    let server = Server::new(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it".to_vec());
    let done = ask(&server, "/", json!({}), json!({}));
    assert_eq!((done.code, done.text().as_str()), (1, "half of it"));
    assert!(done.error().contains("broke off after 10 bytes"), "{}", done.err);
}

#[test]
fn who_does_not_answer_is_named_in_one_line() {
    // Bound, so that nobody else gets the port, and not listening.
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    rustix::net::bind(&socket, &SocketAddrV4::new([127, 0, 0, 1].into(), 0)).expect("a port");
    let address = rustix::net::getsockname(&socket).expect("its name");
    let address = std::net::SocketAddr::try_from(address).expect("an address");
    let done = call(&json!({ "http": { "url": format!("http://me:{SECRET}@{address}/x?key={SECRET}") } }));
    assert_eq!((done.code, done.error()), (1, format!("http://{address}/x: {address}: Connection refused")));
    let silent = Server::new(|_| Vec::new());
    let done = ask(&silent, "/x", json!({}), json!({}));
    let said = format!("{}: {} closed the connection before it had answered", silent.url("/x"), silent.address());
    assert_eq!((done.code, done.error()), (1, said));
    let odd = Server::new(|_| b"GIF89a\r\n\r\n".to_vec());
    let done = ask(&odd, "/", json!({}), json!({}));
    let said = format!("{}: {} does not answer as HTTP says", odd.url(""), odd.address());
    assert_eq!((done.code, done.error()), (1, said));
    // One that speaks no TLS answers the first words of it with an error in plain HTTP.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = plain.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().expect("a client");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("it listens");
        _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let done = call(&json!({ "http": { "url": format!("https://{address}/") } }));
    assert_eq!(done.code, 1);
    assert!(done.error().starts_with(&format!("https://{address}: TLS with {address} failed: ")), "{}", done.err);
    thread.join().expect("a thread");
    for url in ["", "a", "/x", "ftp://a/b", "http://", "http://a b/", "file:///etc/passwd"] {
        let done = call(&json!({ "http": { "url": url } }));
        assert_eq!(done.code, 1, "{url}");
        assert!(done.error().starts_with("the address is none of the web"), "{}", done.err);
    }
}

#[test]
fn a_redirection_is_followed_within_bounds() {
    let server = Server::new(|asked: &Asked| match asked.target.as_str() {
        "/303" => answer("303 See Other", &["Location: /end"], ""),
        "/302" => answer("302 Found", &["Location: end?a=b"], ""),
        "/307" => answer("307 Temporary Redirect", &["Location: /end"], ""),
        "/loop" => answer("302 Found", &["Location: /loop"], ""),
        "/away" => answer("302 Found", &["Location: ftp://a/b"], ""),
        "/nowhere" => answer("302 Found", &[], "no location"),
        _ => ok(&asked.body),
    });
    let post =
        |path: &str| ask(&server, path, json!({ "method": "POST", "headers": { "X-Key": "k" } }), json!({"p": 1}));
    for (path, method, target, body) in
        [("/303", "GET", "/end", ""), ("/302", "GET", "/end?a=b", ""), ("/307", "POST", "/end", "{\"p\":1}")]
    {
        let done = post(path);
        assert_eq!((done.code, done.text().as_str()), (0, body), "{path} {}", done.err);
        let last = server.asked().pop().expect("a request");
        assert_eq!((last.method.as_str(), last.target.as_str()), (method, target), "{path}");
        assert_eq!(last.header("x-key"), Some("k"), "{path}");
    }
    let before = server.asked().len();
    let done = post("/loop");
    assert_eq!((done.code, server.asked().len() - before), (1, 6));
    assert!(done.error().starts_with("after 5 redirections"), "{}", done.err);
    assert!(post("/away").error().contains("leads on to what is no address of the web"));
    assert_eq!((post("/nowhere").code, post("/nowhere").text().as_str()), (1, "no location"));
    let done = ask(&server, "/302", json!({ "expect": [302] }), json!({}));
    assert_eq!(done.code, 0, "{}", done.err);
}

#[test]
fn another_origin_learns_no_header_that_could_hold_a_secret() {
    let other = echo();
    let there = format!("Location: {}", other.url("/end"));
    let server = Server::new(move |_| answer("307 Temporary Redirect", &[&there], ""));
    let headers = json!({
        "Authorization": { "env": "TOKEN", "prefix": "Bearer " }, "X-Api-Key": { "env": "TOKEN" }, "Cookie": "a=b",
        "Accept": { "env": "TOKEN" }, "User-Agent": "me", "X-Literal": "b",
    });
    let order = json!({ "http": { "method": "POST", "url": server.url("/x"), "headers": headers }, "params": {} });
    let done = call_with(order.to_string().as_bytes(), &[("TOKEN", SECRET)]);
    assert_eq!(done.code, 0, "{}", done.err);
    let first = server.only();
    let bearer = format!("Bearer {SECRET}");
    assert_eq!((first.header("authorization"), first.header("x-api-key")), (Some(bearer.as_str()), Some(SECRET)));
    let second = other.only();
    let names: Vec<&str> = second.headers.keys().map(String::as_str).collect();
    assert_eq!(names, ["accept", "content-length", "content-type", "host", "user-agent"]);
    assert_eq!((second.header("accept"), second.header("user-agent")), (Some("*/*"), Some("me")));
}

#[test]
fn a_secret_comes_from_the_environment_and_is_never_shown() {
    let server = Server::new(|_| answer("401 Unauthorized", &[], "who are you?"));
    let order = |name: &str, text: Value| {
        let order = json!({ "http": { "url": server.url("/x"), "headers": { name: text } } });
        order.to_string().into_bytes()
    };
    let token = json!({ "env": "TOKEN" });
    let done = call_with(&order("X-Key", token.clone()), &[("TOKEN", SECRET)]);
    assert_eq!((done.code, server.only().header("x-key")), (1, Some(SECRET)));
    let broken = format!("{SECRET}\n");
    let done = call_with(&order("X-Key", token.clone()), &[("TOKEN", &broken)]);
    let why = "the value of the header `X-Key` has a line break or another character that no header may hold";
    assert_eq!((done.code, done.error().as_str()), (1, why));
    let done = call_with(&order("X-Key", token.clone()), &[]);
    let why =
        "the header `X-Key` comes from the variable `TOKEN`, which is not set; give it under `env:` or `envFile:`";
    assert_eq!((done.code, done.error().as_str()), (1, why));
    let done = call_with(&order("X Key\n", token), &[("TOKEN", SECRET)]);
    assert_eq!((done.code, done.error().as_str()), (1, "`X Key` is no name of a header; use letters, digits and `-`"));
    // A whole address may be one, as those of chat rooms are.
    let order = json!({ "http": { "url": { "env": "HOOK" }, "method": "POST" } }).to_string();
    let done = call_with(order.as_bytes(), &[("HOOK", &server.url(&format!("/{SECRET}?{SECRET}")))]);
    assert_eq!((done.code, server.asked().pop().expect("a request").target), (1, format!("/{SECRET}?{SECRET}")));
}

#[test]
fn a_proxy_is_used_when_the_environment_names_one_and_only_then() {
    let (server, proxy) = (echo(), Server::new(|_| answer("502 Bad Gateway", &[], "")));
    let order = json!({ "http": { "url": server.url("/") } }).to_string();
    let proxied = [("http_proxy", proxy.url(""))];
    let proxied: Vec<(&str, &str)> = proxied.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(call_with(order.as_bytes(), &proxied).code, 1);
    assert_eq!((proxy.asked().len(), server.asked().len()), (1, 0));
    let direct = [proxied.as_slice(), &[("no_proxy", "127.0.0.1")]].concat();
    assert_eq!(call_with(order.as_bytes(), &direct).code, 0);
    assert_eq!(call_with(order.as_bytes(), &[]).code, 0);
    assert_eq!((proxy.asked().len(), server.asked().len()), (1, 2));
}
