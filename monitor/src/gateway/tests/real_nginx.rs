//! The export in a real nginx on loopback, which set-up installs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::*;
use crate::access::Peer;
use crate::policy::Request;
use crate::policy::path::Reading;

struct Nginx {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn nginx(args: &[&str]) -> Command {
    // Debian has it where not every PATH leads.
    let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let mut command =
        Command::new(program.expect("nginx is missing: `cargo xtask setup` installs it"));
    command.args(args);
    command
}

/// A configuration around `http`, tested with `nginx -t`.
fn tested(dir: &Path, http: &str) -> PathBuf {
    let at = dir.display();
    let temps: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {at}/{name};\n"))
        .collect();
    let text = format!(
        "pid {at}/pid;\nerror_log {at}/error.log;\ndaemon off;\nmaster_process off;\nevents {{}}\nhttp {{\n    access_log off;\n{temps}{http}\n}}\n"
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let output = nginx(&["-t", "-e", "stderr", "-c", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{http}",
        String::from_utf8_lossy(&output.stderr)
    );
    file
}

fn start(export: &str) -> Nginx {
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    std::fs::write(dir.path().join("duties.conf"), export).unwrap();
    let http = format!(
        "include duties.conf;\nserver {{ listen 127.0.0.1:{port}; if (${} = 0) {{ return 403; }} location / {{ return 200 ok; }} }}",
        nginx::ALLOWED
    );
    let file = tested(dir.path(), &http);
    let mut child = nginx(&["-e", "stderr", "-c", file.to_str().unwrap()])
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            child.try_wait().unwrap().is_none() && Instant::now() < until,
            "nginx does not start"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Nginx {
        child,
        port,
        _dir: dir,
    }
}

fn status(port: u16, role: Option<&str>, (method, host, path): (&str, &str, &str)) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let role = role
        .map(|role| format!("X-Role: {role}\r\n"))
        .unwrap_or_default();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{role}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    text.split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("{request}{text}"))
}

#[test]
fn granted_requests_pass_and_others_get_403() {
    let policy = policy(SHOP);
    let lock = lock(&policy, "header:x-role");
    let written = write(Target::Nginx, &lock);
    let gate = read_back(Target::Nginx, &written);
    let nginx = start(&written.text);
    let (mut passed, mut refused) = (0, 0);
    let mut reading = Reading::new();
    for host in [
        "ci.example",
        "CI.example",
        "api.pay.example:8443",
        "api.pay.example",
        "x.dev.example:99",
        "files.example",
        "files.example:81",
    ] {
        for path in [
            "/deployments/7",
            "/deployments/7/approve",
            "/deployments/7/",
            "/deployments/../x",
            "/deployments/%2e%2e",
            "/deployments/a%2Fb",
            "/deployments/7?x=/approve",
            "/v1",
            "/v1/",
            "/v1/a/b",
            "/v1/../v2",
            "/v1/%2E%2E/v2",
            "/v1//a",
            "/v1/a;b",
            "/v1x",
            "/a%20b/x",
            "/a%20b/x%2fy",
            "/",
            "/x y",
        ] {
            for method in ["GET", "HEAD", "POST", "DELETE", "BREW"] {
                for role in [
                    None,
                    Some("ci-bot"),
                    Some("release-manager"),
                    Some("pay-writer"),
                    Some("trap"),
                    Some("ci-bot POST ci.example:80 /x"),
                ] {
                    let status = status(nginx.port, role, (method, host, path));
                    let plain = path.split('?').next().unwrap();
                    reading.read(plain);
                    let request = Request::new(method, host, &Peer::Unknown, &reading);
                    let known =
                        role.and_then(|name| lock.roles.iter().find(|role| *role.name == *name));
                    let granted = known.is_some_and(|role| {
                        role.operations
                            .iter()
                            .any(|operation| operation.matches(&request))
                    });
                    let told = format!("{method} {host}{path} as {role:?}: {status}");
                    match status {
                        200 => {
                            assert!(granted, "{told}");
                            passed += 1;
                        }
                        403 => refused += 1,
                        // It refuses what leads out of its root, and a space in a path.
                        400 => {
                            assert!(path.contains(['.', ' ']), "{told}");
                            continue;
                        }
                        _ => panic!("{told}"),
                    }
                    if !plain.contains(['%', ';']) && !plain.contains("/.") {
                        assert_eq!(status == 200, granted, "{told}");
                    }
                    // What is read of it is what it does.
                    let lower = host.to_ascii_lowercase();
                    let read =
                        compare::decide(&lock, &gate, role, (method, &lower, plain)).unwrap();
                    assert_eq!(read, Some(status == 200), "{told}");
                }
            }
        }
    }
    assert!(passed > 40 && refused > 1000, "{passed} {refused}");
}

#[test]
fn hostile_names_are_a_configuration_of_nginx() {
    for name in exports::HOSTILE {
        let Ok(policy) = try_of_operations(&[(name, vec!["GET a.example/$x".to_owned()])]) else {
            continue;
        };
        let dir = tempfile::tempdir().unwrap();
        let text = write(Target::Nginx, &lock(&policy, "header:x-role")).text;
        tested(dir.path(), &text);
    }
}

/// The reader's priorities of locations, asked of nginx itself.
#[test]
fn locations_are_read_as_nginx_takes_them() {
    let locations = "location = / { return 200; } location / { return 403; } location /documents/ { return 200; }
        location ^~ /images/ { return 403; } location ^~ /images/public/x { return 200; }
        location ~* \\.(gif|jpg)$ { return 200; } location ~ ^/documents/secret { return 403; }
        location = /documents/secret1 { return 200; } location /images/deep { return 200; }";
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let http = format!("server {{ listen 127.0.0.1:{port}; {locations} }}");
    let file = tested(dir.path(), &http);
    let child = nginx(&["-e", "stderr", "-c", file.to_str().unwrap()])
        .spawn()
        .unwrap();
    let server = Nginx {
        child,
        port,
        _dir: dir,
    };
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "nginx does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let lock = lock(&policy(SHOP), "variable:r");
    let gate = read("gw", &http, None, &nginx::NoFiles).unwrap();
    for path in [
        "/",
        "/x",
        "/documents/",
        "/documents",
        "/documents/secret",
        "/documents/secret1",
        "/documents/secret.gif",
        "/images/",
        "/images/1.gif",
        "/images/public/x",
        "/images/public/x.gif",
        "/images/public/y.gif",
        "/images/deep",
        "/images/deep.jpg",
        "/1.GIF",
        "/1.gif/",
    ] {
        let read = compare::decide(&lock, &gate, None, ("GET", "a.example", path)).unwrap();
        assert_eq!(
            read,
            Some(status(server.port, None, ("GET", "a.example", path)) == 200),
            "{path}"
        );
    }
}
