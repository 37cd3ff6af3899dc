//! Operations of HTTP/2, gRPC and MCP.

use super::*;

const GRPC: (&str, &str) = ("content-type", "application/grpc+proto");

fn post<'a>(target: &'a str, fields: &[(&'a str, &'a str)]) -> Request<'a> {
    Request {
        method: "POST",
        ..request(target, fields)
    }
}

fn told(head: &RequestHead<'_>) -> Recognised {
    let mut out = Recognised::new();
    recogniser().recognise(head, &mut out);
    out
}

#[test]
fn nothing_is_lifted_out_of_a_grpc_method() {
    // The method would be an object in an ordinary path.
    let path = "/acme.v1.Users/0af7651916cd43dd8448eb211c80319c";
    assert_eq!(&*told(&post(path, &[GRPC]).head()).route, path);
    assert_ne!(&*told(&post(path, &[]).head()).route, path);
    assert_ne!(&*told(&request(path, &[GRPC]).head()).route, path);
    // What has not the form of a gRPC method is an ordinary path, whatever its content.
    let out = told(&post("/v1/x/17", &[GRPC]).head());
    assert_eq!(&*out.route, "/v1/x/{id}");
    // Seen before as an ordinary path.
    let mut recogniser = recogniser();
    let mut out = Recognised::new();
    for _ in 0..3 {
        recogniser.recognise(&post(path, &[]).head(), &mut out);
        recogniser.recognise(&post(path, &[GRPC]).head(), &mut out);
        assert_eq!((&*out.route, &*out.path), (path, path));
    }
}

#[test]
fn what_mcp_claims() {
    let fields = [("mcp-method", "tools/call"), ("Mcp-Name", " delete_issue ")];
    let out = told(&post("/mcp", &fields).head());
    assert_eq!(
        (&*out.route, &*out.path),
        ("MCP tools/call:delete_issue", "/mcp")
    );
    assert_eq!(&*told(&request("/mcp", &fields).head()).route, "/mcp");
    let secret = [
        fields[0],
        ("mcp-name", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
    ];
    assert_eq!(
        &*told(&post("/mcp", &secret).head()).route,
        "MCP tools/call:{secret}"
    );
}

#[test]
fn what_is_not_known_is_not_guessed() {
    let known = post("/v1/x/17", &[("host", "api.example:443"), GRPC]);
    let out = told(&RequestHead {
        version: Version::Http2,
        secure: true,
        ..known.head()
    });
    assert_eq!((out.protocol, &*out.host), ("h2", "api.example"));
    assert_eq!((out.unread, out.unknown_fields), (0, 0));
    let unknown = RequestHead {
        version: Version::Http2,
        method: "",
        target: b"",
        unknown_fields: 3,
        unknown_method: true,
        unknown_target: true,
        ..known.head()
    };
    let out = told(&unknown);
    assert_eq!((&*out.method, &*out.path, &*out.route), ("?", "?", "?"));
    assert_eq!((out.unread, out.unknown_fields, out.found.len()), (1, 3, 0));
    let mut router = Router::new(1000);
    assert_eq!(
        &*router.route(&out.host, &out.path),
        "?",
        "a route is its own route"
    );
}
