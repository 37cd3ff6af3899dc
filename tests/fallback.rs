//! Connections that were open before the daemon was: no keys can be had, and so their libraries' reads and
//! writes are probed, as long as they are open.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::server::free;
use e2e::trial::root;
use e2e::{Daemon, Process, wait_for};
use libtest_mimic::Trial;
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("fallback::both_ends_older_than_the_daemon", both),
        root("fallback::one_of_many_connections", many),
    ]
}

/// Answers with what it was sent: POST's body, or `ok`.
const SERVER: &str = "
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0))) or b'ok'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

/// One connection. Makes the request number n when the file `goN` appears, then makes `doneN`; closes it at
/// `close`, and lives on.
const CLIENT: &str = "
import http.client, os, ssl, sys, time
port, home = int(sys.argv[1]), sys.argv[2]
context = ssl._create_unverified_context()
def there(name): return os.path.exists(os.path.join(home, name))
def make(name): open(os.path.join(home, name), 'w').close()
def connect():
    return http.client.HTTPSConnection('127.0.0.1', port, context=context)
def ask(connection, path, body=None):
    headers = {'Host': 'late.example', 'Authorization': 'Bearer late-late-late'}
    connection.request('POST' if body else 'GET', path, body, headers)
    answer = connection.getresponse()
    assert answer.read() == (body or b'ok') and answer.status == 200
connection = connect()
ask(connection, '/before')
make('ready')
number = 0
while True:
    if there(f'go{number}'):
        # Every other one is large: many records, and writes in parts.
        body = bytes(300000) if number % 2 else None
        ask(connection, f'/late/{number}', body)
        if there('other'):
            ask(connect(), f'/new/{number}')
        make(f'done{number}')
        number += 1
    if there('close') and connection:
        connection.close()
        make('closed')
        connection = None
    time.sleep(0.005)
";

struct Talk {
    server: Process,
    client: Process,
    home: tempfile::TempDir,
    number: u32,
}

impl Talk {
    /// Both processes, with one request answered.
    fn start() -> Result<Self> {
        let home = tempfile::tempdir()?;
        let at = home.path();
        let (key, cert) = (at.join("key"), at.join("cert"));
        let made = rcgen::generate_simple_self_signed(["late.example".to_owned()])?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        fs::write(&cert, made.cert.pem())?;
        let address = free()?;
        let port = address.port().to_string();
        let python = |script: &str| {
            let mut command = Command::new("/usr/bin/python3");
            command.args(["-c", script, &port]);
            command
        };
        let server = Process::start(python(SERVER).arg(&cert).arg(&key), &at.join("server.log"))?;
        wait_for("the server", || {
            Ok(std::net::TcpStream::connect(address).ok())
        })?;
        let client = Process::start(python(CLIENT).arg(at), &at.join("client.log"))?;
        let talk = Self {
            server,
            client,
            home,
            number: 0,
        };
        talk.wait("ready")?;
        Ok(talk)
    }

    fn at(&self) -> &Path {
        self.home.path()
    }

    fn wait(&self, name: &str) -> Result<()> {
        let path = self.at().join(name);
        wait_for(name, || Ok(path.exists().then_some(())))
            .map_err(|error| error.context(self.client.log()))
    }

    /// One more request and its answer.
    fn ask(&mut self) -> Result<()> {
        fs::write(self.at().join(format!("go{}", self.number)), "")?;
        self.wait(&format!("done{}", self.number))?;
        self.number += 1;
        Ok(())
    }

    /// Requests until both processes are probed, which the first of them leads to.
    fn until_probed(&mut self, daemon: &Daemon) -> Result<()> {
        self.ask()?;
        for id in [self.client.id(), self.server.id()] {
            wait_for("fallback probes", || {
                Ok(fallback(&daemon.status()?, id).filter(|hook| hook["attached"] == true))
            })?;
        }
        Ok(())
    }
}

/// What the status says of a process' fallback probes.
fn fallback(status: &Value, pid: u32) -> Option<Value> {
    let name = format!("fallback:{pid}");
    let hooks = status["hooks"].as_array()?;
    hooks.iter().find(|hook| hook["name"] == name).cloned()
}

fn both() -> Result<()> {
    let mut talk = Talk::start()?;
    let daemon = Daemon::start()?;
    talk.until_probed(&daemon)?;
    let mut watch = daemon.watch()?;
    for _ in 0..6 {
        talk.ask()?;
    }
    let accesses = watch.exactly(6, "late.example")?;
    for (number, access) in accesses.iter().enumerate() {
        let value = serde_json::to_value(access)?;
        ensure!(
            access.request.path == format!("/late/{}", number + 1),
            "{value:#}"
        );
        ensure!(
            value["tls"]["via"] == "probes" && value["tls"]["version"].is_null(),
            "{value:#}"
        );
        ensure!(
            value["client"]["pid"] == talk.client.id()
                && value["server"]["pid"] == talk.server.id()
                && value["response"]["status"] == 200,
            "{value:#}"
        );
        ensure!(value["identity"]["name"] != Value::Null || value["credential"] != Value::Null);
    }
    // Nobody needs them any more.
    fs::write(talk.at().join("close"), "")?;
    talk.wait("closed")?;
    for id in [talk.client.id(), talk.server.id()] {
        wait_for("the end of the probes", || {
            Ok(fallback(&daemon.status()?, id).is_none().then_some(()))
        })?;
    }
    ensure!(talk.client.running()? && talk.server.running()?);
    Ok(())
}

/// Connections of the same processes that have keys are told of once.
fn many() -> Result<()> {
    let mut talk = Talk::start()?;
    let daemon = Daemon::start()?;
    talk.until_probed(&daemon)?;
    fs::write(talk.at().join("other"), "")?;
    let mut watch = daemon.watch()?;
    for _ in 0..4 {
        talk.ask()?;
    }
    std::thread::sleep(Duration::from_millis(300));
    let accesses = watch.exactly(8, "late.example")?;
    for via in ["probes", "keys"] {
        let path = if via == "keys" { "/new/" } else { "/late/" };
        let count = accesses
            .iter()
            .filter(|access| {
                access.request.path.starts_with(path)
                    && access.tls.as_ref().is_some_and(|tls| tls.via == via)
            })
            .count();
        ensure!(count == 4, "{count} of {via}: {accesses:#?}");
    }
    Ok(())
}
