//! Loopback stand-ins for the services that give credentials: plain HTTP, any free port.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A service on a port of its own. Its thread ends with the test process.
pub(super) struct StandIn {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    kind: Kind,
    asked: Vec<(String, String)>,
    /// Connections of a silent one: kept, so that they are neither answered nor closed.
    held: Vec<TcpStream>,
}

enum Kind {
    Silent,
    Refusing,
    Endless,
    Redirecting { to: String },
    Container,
    Portal,
    Instance { region: String },
    Sts { user_id: String, denials: usize, code: &'static str, assumed: usize },
}

impl StandIn {
    pub(super) fn silent() -> Self {
        Self::start(Kind::Silent)
    }

    /// Says 403 to everything.
    pub(super) fn refusing() -> Self {
        Self::start(Kind::Refusing)
    }

    /// Answers with two megabytes.
    pub(super) fn endless() -> Self {
        Self::start(Kind::Endless)
    }

    pub(super) fn redirecting(to: &str) -> Self {
        Self::start(Kind::Redirecting { to: to.to_owned() })
    }

    /// The portal of IAM Identity Center.
    pub(super) fn portal() -> Self {
        Self::start(Kind::Portal)
    }

    pub(super) fn container() -> Self {
        Self::start(Kind::Container)
    }

    pub(super) fn instance(region: &str) -> Self {
        Self::start(Kind::Instance { region: region.to_owned() })
    }

    /// Assumes every role; the n-th time as `ASIAASSUMEDn`.
    pub(super) fn sts() -> Self {
        let user_id = "AIDAEXAMPLE".to_owned();
        Self::start(Kind::Sts { user_id, denials: 0, code: "AccessDenied", assumed: 0 })
    }

    /// What GetCallerIdentity says.
    pub(super) fn user_id(self, is: &str) -> Self {
        if let Kind::Sts { user_id, .. } = &mut self.state.lock().unwrap().kind {
            *user_id = is.to_owned();
        }
        self
    }

    /// Denies so many times first.
    pub(super) fn denying(self, times: usize) -> Self {
        if let Kind::Sts { denials, .. } = &mut self.state.lock().unwrap().kind {
            *denials = times;
        }
        self
    }

    /// Says no with this code instead of AccessDenied.
    pub(super) fn saying(self, word: &'static str) -> Self {
        if let Kind::Sts { code, .. } = &mut self.state.lock().unwrap().kind {
            *code = word;
        }
        self
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same service on another port with TLS: its URL, and the certificate to trust.
    pub(super) fn behind_tls(&self) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::clone(&self.state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, state) = (Arc::clone(&config), Arc::clone(&state));
                thread::spawn(move || {
                    let connection = rustls::ServerConnection::new(config).ok()?;
                    serve(rustls::StreamOwned::new(connection, stream), &state)
                });
            }
        });
        (format!("https://localhost:{port}"), made.cert.pem())
    }

    /// Method and target of every request so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.iter().map(|(line, _)| line.clone()).collect()
    }

    /// The form in the body of every request so far.
    pub(super) fn forms(&self) -> Vec<BTreeMap<String, String>> {
        let state = self.state.lock().unwrap();
        let forms = state
            .asked
            .iter()
            .map(|(_, body)| url::form_urlencoded::parse(body.as_bytes()).into_owned().collect());
        forms.collect()
    }

    fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { kind, asked: Vec::new(), held: Vec::new() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    if let State { kind: Kind::Silent, held, .. } = &mut *state.lock().ok()? {
                        held.push(stream);
                        return None;
                    }
                    serve(stream, &state)
                });
            }
        });
        Self { address, state }
    }
}

/// One request, one answer.
fn serve(stream: impl Read + Write, state: &Mutex<State>) -> Option<()> {
    let mut from = BufReader::new(stream);
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    let line = line.rsplit_once(' ')?.0.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        from.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    let (status, answer, location) = {
        let mut state = state.lock().ok()?;
        state.asked.push((line.clone(), body.clone()));
        let (status, answer) = state.kind.answer(&line, &body);
        let to =
            if let Kind::Redirecting { to } = &state.kind { to.clone() } else { String::new() };
        (status, answer, to)
    };
    let head = format!(
        "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\nConnection: close\r\n\
         Location: {location}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n",
        answer.len()
    );
    let mut stream = from.into_inner();
    stream.write_all((head + &answer).as_bytes()).ok()?;
    stream.flush().ok()
}

impl Kind {
    fn answer(&mut self, line: &str, body: &str) -> (u16, String) {
        match self {
            Self::Silent => unreachable!(),
            Self::Refusing => (403, String::new()),
            Self::Endless => (200, "x".repeat(2 * 1024 * 1024)),
            Self::Redirecting { .. } => (307, String::new()),
            Self::Portal => (200, portal("ASIAPORTAL")),
            Self::Container => (200, document("ASIACONTAINER")),
            Self::Instance { region } => match line {
                "PUT /latest/api/token" => (200, "hushtoken".to_owned()),
                "GET /latest/meta-data/placement/region" => (200, region.clone()),
                "GET /latest/meta-data/iam/security-credentials/" => (200, "node".to_owned()),
                "GET /latest/meta-data/iam/security-credentials/node" => {
                    (200, document("ASIAINSTANCE"))
                }
                _ => (404, String::new()),
            },
            Self::Sts { user_id, denials, code, assumed } => {
                if body.contains("Action=GetCallerIdentity") {
                    return (200, identity(user_id));
                }
                *assumed += 1;
                if *assumed <= *denials {
                    return (403, DENIED.replace("AccessDenied", code));
                }
                let web = body.contains("WithWebIdentity");
                (200, session(&format!("ASIAASSUMED{assumed}"), web))
            }
        }
    }
}

fn document(id: &str) -> String {
    serde_json::json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
        "AccessKeyId": id, "SecretAccessKey": "hushkey", "Token": "hushsession",
        "Expiration": "2099-01-01T00:00:00Z",
    })
    .to_string()
}

fn portal(id: &str) -> String {
    serde_json::json!({"roleCredentials": {
        "accessKeyId": id, "secretAccessKey": "hushkey", "sessionToken": "hushsession",
        "expiration": 4_070_908_800_000_u64,
    }})
    .to_string()
}

fn identity(user_id: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/me</Arn>\
         <UserId>{user_id}</UserId><Account>123456789012</Account></GetCallerIdentityResult>\
         </GetCallerIdentityResponse>"
    )
}

fn session(id: &str, web: bool) -> String {
    let action = if web { "AssumeRoleWithWebIdentity" } else { "AssumeRole" };
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/dev/s</Arn>\
         <AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>hushkey</SecretAccessKey>\
         <SessionToken>hushsession</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
         </Credentials></{action}Result></{action}Response>"
    )
}

const DENIED: &str = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
    <Type>Sender</Type><Code>AccessDenied</Code><Message>User is not authorized</Message></Error>\
    <RequestId>1</RequestId></ErrorResponse>";
